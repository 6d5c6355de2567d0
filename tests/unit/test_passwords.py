"""Passwords: how long they are, how they are kept, and that a wrong one never opens."""

from __future__ import annotations

import asyncio

import pytest

from novapulse.security.passwords import LENGTH_MAX, check_password, hash_password, verify_password

PASSWORD = "correct horse battery staple"


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "abcde" * 3,  # no rules of composition
        "пароль из букв!",
        "🦊🦉🐝🐋🦀" * 3,
        ("abcde" * LENGTH_MAX)[:LENGTH_MAX],
    ],
)
def test_any_characters_make_a_password_if_there_are_enough(password: str) -> None:
    check_password(password)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "at least 15"),
        ("abcdefghijklmn", "at least 15"),
        (("abcde" * LENGTH_MAX)[: LENGTH_MAX + 1], "at most 256"),
        ("a" * 20, "repeats itself"),
        ("abcd" * 5, "repeats itself"),
        ("ﷺ" + "abcde" * 50, "at most 256"),  # one character that NFKC makes eighteen
        (PASSWORD + "\ud800", "half a character"),
    ],
)
def test_what_is_too_short_too_long_or_no_text_is_refused(password: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_password(password)


async def test_a_password_opens_its_own_hash_and_no_other() -> None:
    kept = await hash_password(PASSWORD)
    assert await verify_password(kept, PASSWORD)
    for wrong in ("", PASSWORD + " ", PASSWORD.upper(), PASSWORD[:-1], "\ud800"):
        assert not await verify_password(kept, wrong)


async def test_every_character_counts_however_long_the_password_is() -> None:
    """bcrypt would read 72 bytes and no NUL."""
    long = "x" * 200
    assert not await verify_password(await hash_password(long + "1"), long + "2")
    assert not await verify_password(await hash_password("before\0after one"), "before\0after two")


async def test_the_same_password_typed_on_another_keyboard_opens() -> None:
    composed, decomposed, wide = "é" * 20, "e\u0301" * 20, "Ａ" * 20
    assert await verify_password(await hash_password(composed), decomposed)
    assert await verify_password(await hash_password(wide), "A" * 20)


async def test_a_hash_is_argon2id_with_a_salt_of_its_own() -> None:
    one, other = await asyncio.gather(hash_password(PASSWORD), hash_password(PASSWORD))
    assert one != other
    assert one.startswith("$argon2id$v=19$m=32768,t=3,p=1$")
    assert PASSWORD not in one


async def test_nobody_has_the_password_that_unknown_users_are_compared_with() -> None:
    assert not await verify_password(None, PASSWORD)
    assert not await verify_password(None, "no user has this password")


@pytest.mark.parametrize("damaged", ["", "plain", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv"])
async def test_a_damaged_hash_opens_to_nothing(damaged: str) -> None:
    assert not await verify_password(damaged, PASSWORD)
    assert not await verify_password(damaged, "no user has this password")
