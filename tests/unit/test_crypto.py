"""Secrets at rest: bound to their place, unreadable when changed, and readable through a rotation of keys."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.crypto import KEY_BYTES, DecryptError, Keyring

PLACE = "webhook_secret:secret:sec_1"
OLD, NEW = b"o" * KEY_BYTES, b"n" * KEY_BYTES


@given(plain=st.text(), place=st.text())
def test_what_was_encrypted_for_a_place_opens_there(plain: str, place: str) -> None:
    ring = Keyring([NEW])
    assert ring.decrypt(ring.encrypt(plain, place), place) == plain


@pytest.mark.parametrize("other", ["webhook_secret:secret:sec_2", "webhook:headers:sec_1", "", PLACE + " "])
def test_a_token_moved_to_another_row_or_column_does_not_open(other: str) -> None:
    ring = Keyring([NEW])
    with pytest.raises(DecryptError, match="moved"):
        ring.decrypt(ring.encrypt("whsec_x", PLACE), other)


def test_the_same_text_never_encrypts_to_the_same_token() -> None:
    ring = Keyring([NEW])
    assert len({ring.encrypt("whsec_x", PLACE) for _ in range(100)}) == 100


def test_during_a_rotation_old_tokens_open_and_new_ones_are_made_with_the_new_key() -> None:
    before, during, after = Keyring([OLD]), Keyring([NEW, OLD]), Keyring([NEW])
    old = before.encrypt("whsec_x", PLACE)
    assert during.decrypt(old, PLACE) == "whsec_x"
    assert not during.is_current(old)
    new = during.encrypt("whsec_x", PLACE)
    assert during.is_current(new)
    assert after.decrypt(new, PLACE) == "whsec_x"
    with pytest.raises(DecryptError, match="not in the keyring"):
        after.decrypt(old, PLACE)


def test_a_token_that_names_another_key_of_the_ring_does_not_open() -> None:
    ring = Keyring([NEW, OLD])
    _, old_id, _ = Keyring([OLD]).encrypt("x", PLACE).split(".")
    version, _, sealed = ring.encrypt("whsec_x", PLACE).split(".")
    with pytest.raises(DecryptError):
        ring.decrypt(f"{version}.{old_id}.{sealed}", PLACE)


@given(plain=st.text(max_size=50), place=st.integers(0), flip=st.integers(1, 255))
def test_one_changed_byte_anywhere_is_noticed(plain: str, place: int, flip: int) -> None:
    ring = Keyring([NEW])
    version, key_id, sealed64 = ring.encrypt(plain, PLACE).split(".")
    sealed = bytearray(base64.urlsafe_b64decode(sealed64))
    sealed[place % len(sealed)] ^= flip
    with pytest.raises(DecryptError):
        ring.decrypt(f"{version}.{key_id}.{base64.urlsafe_b64encode(sealed).decode()}", PLACE)


@given(length=st.integers(0, 40))
def test_a_shortened_token_does_not_open(length: int) -> None:
    ring = Keyring([NEW])
    version, key_id, sealed64 = ring.encrypt("twelve chars", PLACE).split(".")
    short = base64.urlsafe_b64encode(base64.urlsafe_b64decode(sealed64)[:-1][:length]).decode()
    with pytest.raises(DecryptError):
        ring.decrypt(f"{version}.{key_id}.{short}", PLACE)


@given(st.text() | st.from_regex(r"v1\.[0-9a-f]{8}\.[A-Za-z0-9_=-]*", fullmatch=True))
def test_what_is_no_token_is_a_decrypt_error_and_nothing_else(token: str) -> None:
    with pytest.raises(DecryptError):
        Keyring([NEW]).decrypt(token, PLACE)


def test_a_token_of_another_version_does_not_open() -> None:
    ring = Keyring([NEW])
    with pytest.raises(DecryptError):
        ring.decrypt("v2" + ring.encrypt("x", PLACE)[2:], PLACE)


def test_derived_keys_differ_by_purpose_and_survive_a_rotation() -> None:
    before, during = Keyring([OLD]), Keyring([NEW, OLD])
    assert len(before.derive("cursor")) == 32
    assert before.derive("cursor") == during.derive("cursor")
    assert before.derive("cursor") != before.derive("invite")
    assert before.derive("cursor") != Keyring([NEW]).derive("cursor")


@pytest.mark.parametrize("keys", [[], [b""], [b"k" * 31], [b"k" * 33], [NEW, b"short"]])
def test_a_keyring_takes_only_keys_of_32_bytes(keys: list[bytes]) -> None:
    with pytest.raises(ValueError):
        Keyring(keys)
