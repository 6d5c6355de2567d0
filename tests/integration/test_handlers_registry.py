"""Each event handler of the app is an RPC: it has a policy, or only Reflex's few own ones get through.

That the guard acts on this is tested from outside, in `test_socket_attacks.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from novapulse.core.actor import ROLE_PERMISSIONS, Permission, Role
from novapulse.security.handlers import FRAMEWORK_EVENTS
from tests.instance import clean_environment

# Importing the app fills registries of the whole process: that belongs into one of its own.
_LIST = """
import json
from novapulse.novapulse import app
from reflex_base.registry import RegistrationContext
from novapulse.security.handlers import DefaultDeny, is_framework_event, policy_of
print("LIST " + json.dumps({
    "guards": [type(each).__name__ for each in app._middlewares],
    "handlers": [
        [name, found.handler.fn.__module__, policy and sorted(policy.permissions), is_framework_event(name)]
        for name, found in RegistrationContext.get().event_handlers.items()
        for policy in [policy_of(found)]
    ],
}))
"""


@dataclass(frozen=True)
class Handler:
    """An event handler of the app."""

    name: str
    module: str
    policy: frozenset[Permission] | None
    passes_as_framework: bool

    @property
    def is_ours(self) -> bool:
        return self.module.startswith("novapulse.")


@dataclass(frozen=True)
class Registry:
    """What the app has registered."""

    guards: list[str]
    handlers: list[Handler]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("registry")
    done = subprocess.run(
        [sys.executable, "-c", _LIST],
        cwd=folder,
        env=clean_environment(data_dir=str(folder / "data")) | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("LIST "))
    found = json.loads(line.removeprefix("LIST "))
    handlers = [
        Handler(name, module, None if policy is None else frozenset(map(Permission, policy)), framework)
        for name, module, policy, framework in found["handlers"]
    ]
    return Registry(found["guards"], handlers)


def test_the_guard_sees_every_event_first(registry: Registry) -> None:
    assert registry.guards[0] == "DefaultDeny"


def test_every_handler_of_ours_has_a_policy(registry: Registry) -> None:
    ours = [handler for handler in registry.handlers if handler.is_ours]
    assert len(ours) >= 10, "they were not found at all"
    assert not [handler.name for handler in ours if not handler.policy]


def test_no_handler_of_ours_passes_as_one_of_reflex(registry: Registry) -> None:
    assert not [handler.name for handler in registry.handlers if handler.is_ours and handler.passes_as_framework]


def test_of_reflex_only_the_named_handlers_pass(registry: Registry) -> None:
    passing = {handler.name for handler in registry.handlers if handler.passes_as_framework}
    ends = {end for end in FRAMEWORK_EVENTS if any(name.endswith(end) for name in passing)}
    assert ends == set(FRAMEWORK_EVENTS), "the list names what is not there"
    assert len(passing) == len(FRAMEWORK_EVENTS), "an end of a name fits more than it is meant for"


def test_setting_any_variable_of_a_state_has_no_policy(registry: Registry) -> None:
    setters = [handler for handler in registry.handlers if handler.name.endswith(".setvar")]
    assert setters, "Reflex has another name for it now"
    assert not [handler.name for handler in setters if handler.policy is not None or handler.passes_as_framework]


def test_what_acts_on_webhooks_is_not_for_viewers(registry: Registry) -> None:
    viewer = ROLE_PERMISSIONS[Role.VIEWER]
    acting = ("act", "save", "delete", "rotate", "cancel", "retry", "send")
    names = {
        handler.name: handler.policy
        for handler in registry.handlers
        if handler.is_ours and handler.name.rsplit(".", 1)[-1].split("_")[0] in acting
    }
    assert names, "the handlers have other names now"
    assert not [name for name, policy in names.items() if policy is None or policy <= viewer]
