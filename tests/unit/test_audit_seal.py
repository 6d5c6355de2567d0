"""The seals of the audit log: what is sealed, and which key does it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.crypto import DecryptError, Keyring
from novapulse.core.errors import InvalidError
from novapulse.security.audit_export import cell
from novapulse.security.audit_seal import SEALED, LogKeys, canonical, proof, seal
from novapulse.security.audit_verify import parse_noted
from novapulse.security.models import AuditEntry

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
ROW: dict[str, Any] = {
    "seq": 7,
    "id": "aud_0",
    "at": 1_795_000_000_000,
    "actor_kind": "user",
    "actor_id": "usr_1",
    "actor_name": "ada@example.com",
    "action": "webhook.deleted",
    "noun": "webhook",
    "target_kind": "webhook",
    "target_id": "wh_1",
    "target_name": 'Bil"ling – ü',
    "result": "ok",
    "ip": "192.0.2.1",
    "request_id": "req_1",
    "detail": '{"a":1}',
}


def keys(*ring: bytes) -> LogKeys:
    return LogKeys(SimpleNamespace(keyring=Keyring(list(ring))))  # type: ignore[arg-type]


def test_everything_of_a_row_but_the_seal_itself_is_sealed() -> None:
    assert {*SEALED, "seal"} == set(AuditEntry.model_fields)


def test_the_canonical_form_and_its_seal_stay_what_they_are() -> None:
    # Logs that were written before have to verify after an upgrade.
    form = (
        '["novapulse audit row 1","before",7,"aud_0",1795000000000,"user","usr_1","ada@example.com","webhook.deleted",'
        '"webhook","webhook","wh_1","Bil\\"ling – ü","ok","192.0.2.1","req_1","{\\"a\\":1}"]'
    )
    assert canonical(ROW, "before").decode() == form
    assert seal(OLD, ROW, "before") == "3d769afe11c6166265a94a61e6ae6ef63293b9411cc3ed961175629edf8e6233"
    assert proof(OLD, 7, "seal") == "b50766a14ee8e64aac3089f7ba905479ea11c46c217992a6a5bcf0b532a9209c"


@given(st.sampled_from(SEALED), st.text(max_size=5), st.text(max_size=5))
def test_no_two_rows_look_the_same(name: str, one: str, other: str) -> None:
    forms = {canonical(ROW | {name: value}, "") for value in (one, other)}
    assert len(forms) == len({one, other})
    assert json.loads(canonical(ROW | {name: one}, ""))[2 + SEALED.index(name)] == one


@given(st.text(max_size=4), st.text(max_size=4), st.text(max_size=4), st.text(max_size=4))
def test_what_ends_one_field_cannot_begin_the_next(a: str, b: str, c: str, d: str) -> None:
    same = canonical(ROW | {"ip": a, "request_id": b}, "") == canonical(ROW | {"ip": c, "request_id": d}, "")
    assert same == ((a, b) == (c, d))


def test_the_logs_key_is_made_once_and_opened_by_another_process() -> None:
    first = keys(OLD)
    epochs, key = first.for_next([], 1)
    assert [epoch["since"] for epoch in epochs] == [1]
    assert first.for_next(epochs, 2) == (epochs, key)
    assert keys(OLD).at(epochs, 2) == key
    assert key.hex() not in str(epochs)


def test_a_new_first_key_begins_a_new_key_of_the_log_and_the_old_one_may_go() -> None:
    epochs, before = keys(OLD).for_next([], 1)
    rotated = keys(NEW, OLD)
    epochs, after = rotated.for_next(epochs, 10)
    assert after != before
    alone = keys(NEW)
    assert [alone.at(epochs, seq) for seq in (1, 9, 10, 11)] == [before, before, after, after]
    with pytest.raises(DecryptError):
        keys(OLD).at(epochs, 10)


def test_processes_that_have_the_keys_in_another_order_do_not_renew_for_ever() -> None:
    one, other = keys(OLD, NEW), keys(NEW, OLD)
    epochs: Any = []
    for seq in range(1, 50):
        epochs, _ = (one if seq % 2 else other).for_next(epochs, seq)
    assert len(epochs) <= 3


def test_a_renewal_that_was_rolled_back_is_made_again() -> None:
    epochs, _ = keys(OLD).for_next([], 1)
    rotated = keys(NEW, OLD)
    rotated.for_next(epochs, 2)
    again, _ = rotated.for_next(epochs, 2)
    assert [epoch["since"] for epoch in again] == [1, 2]


def test_without_the_old_key_rows_are_sealed_on_and_the_old_ones_are_unreadable() -> None:
    epochs, _ = keys(OLD).for_next([], 1)
    stranger = keys(NEW)
    epochs, key = stranger.for_next(epochs, 5)
    assert stranger.at(epochs, 5) == key
    with pytest.raises(DecryptError):
        stranger.at(epochs, 4)


def test_a_key_moved_to_another_row_does_not_open() -> None:
    epochs, _ = keys(OLD).for_next([], 5)
    with pytest.raises(DecryptError):
        keys(OLD).at([{"since": 1, "key": epochs[0]["key"]}], 1)
    with pytest.raises(DecryptError):
        keys(OLD).at(epochs, 4)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_is_a_formula(start: str) -> None:
    assert cell(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"
    assert cell(f"a{start}") == f"a{start}"


@pytest.mark.parametrize(
    "text", ["", "1", "1:abc", f"0:{'a' * 64}", f"-1:{'a' * 64}", f"1:{'A' * 64}", f"x:{'a' * 64}"]
)
def test_a_noted_head_has_one_form(text: str) -> None:
    with pytest.raises(InvalidError):
        parse_noted(text)
    assert parse_noted(f" 12:{'ab' * 32}\n").seq == 12
