"""The picture of a workflow: all steps are in it, nothing covers anything else; and the starters are whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from novapulse.core.errors import InvalidError
from novapulse.workflows.check import read_definition
from novapulse.workflows.definition import all_steps, lists_of
from novapulse.workflows.screens.layout import picture_of
from novapulse.workflows.screens.shown import graph
from novapulse.workflows.screens.starters import BLANK, STARTERS
from novapulse.workflows.source import read_source
from tests.unit.test_workflow_rules import _lists, workflow


@pytest.mark.parametrize("source", [*(starter.source for starter in STARTERS), BLANK])
def test_starters_are_whole(source: str) -> None:
    definition = read_definition(read_source(source).value)
    assert len(graph(definition)["nodes"]) == len(list(all_steps(definition.steps)))


@given(st.data())
def test_no_step_covers_another_and_each_is_within_what_it_belongs_to(data: Any) -> None:
    try:
        definition = read_definition(workflow(*data.draw(_lists(f"s{n}" for n in range(10_000)))))
    except InvalidError:
        assume(False)
        return
    picture = picture_of(definition)
    nodes = {node.id: node for node in picture.nodes}
    steps = [step for _, step in all_steps(definition.steps)]
    assert set(nodes) == {step.id for step in steps}
    for node in nodes.values():
        assert node.x >= 0 and node.y >= 0
        assert node.x + node.w <= picture.width and node.y + node.h <= picture.height
    for step in steps:
        around = nodes[step.id]
        for _, list_ in lists_of(step):
            for inner in list_:
                node = nodes[inner.id]
                assert around.x < node.x and around.y < node.y
                assert node.x + node.w < around.x + around.w and node.y + node.h < around.y + around.h
    plain = [nodes[step.id] for step in steps if not lists_of(step)]
    for at, one in enumerate(plain):
        for other in plain[at + 1 :]:
            apart_x = one.x + one.w <= other.x or other.x + other.w <= one.x
            assert apart_x or one.y + one.h <= other.y or other.y + other.h <= one.y, (one, other)
