"""Passwords: which are good enough, how they are kept, and that a wrong one never opens."""

from __future__ import annotations

import asyncio
import time

import pytest
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from novapulse.security.passwords import (
    LENGTH_MAX,
    LENGTH_WITH_MFA,
    check_password,
    hash_password,
    judge_password,
    length_min,
    verify_password,
)

PASSWORD = "correct horse battery staple"


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "nine word tea",  # no rules of composition
        "xkq7m2pv",
        "пароль из букв!",
        "🦊🦉🐝🐋🦀 in the woods",
        "$&4@8({[<369!1|7650$5+7%2",
        (PASSWORD * LENGTH_MAX)[:LENGTH_MAX],
    ],
)
async def test_any_characters_make_a_password_if_it_is_hard_to_guess(password: str) -> None:
    await check_password(password, length=LENGTH_WITH_MFA)


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "at least 15"),
        ("xkq7m2pvbwz3dh", "at least 15"),
        ((PASSWORD * LENGTH_MAX)[: LENGTH_MAX + 1], "at most 256"),
        ("a" * 20, "easily guessed"),
        ("a" * LENGTH_MAX, "easily guessed"),
        ("abcd" * 5, "easily guessed"),
        ("P4$$w0rdP4$$w0rd", "easily guessed"),
        ("qwertyuiopasdfghjkl", "easily guessed"),
        ("12345678901234567890", "guessed"),
        ("ﷺ" + PASSWORD * 9, "at most 256"),  # one character that NFKC makes eighteen
        (PASSWORD + "\ud800", "half a character"),
    ],
)
async def test_what_is_too_short_too_long_easily_guessed_or_no_text_is_refused(password: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        await check_password(password)


async def test_eight_characters_do_where_the_rules_require_a_second_factor() -> None:
    assert length_min("admin", ["admin"]) == 8
    assert length_min("viewer", ["admin"]) == 15
    await check_password("xkq7m2pv", length=8)
    with pytest.raises(ValueError, match="at least 15"):
        await check_password("xkq7m2pv")
    with pytest.raises(ValueError, match="at least 8"):
        await check_password("xkq7m2p", length=8)


def test_the_list_of_what_is_guessed_first_is_longer_than_the_norms_ask_for() -> None:
    """OWASP ASVS 5.0, 6.2.4: the top 3000 at least."""
    fitting = [word for word in FREQUENCY_LISTS["passwords"] if len(word) >= LENGTH_WITH_MFA]
    assert len(fitting) > 10_000


async def test_what_is_guessed_first_is_refused_in_any_case() -> None:
    worst = [word for word in FREQUENCY_LISTS["passwords"] if len(word) >= LENGTH_WITH_MFA]
    for word in [*worst[:300], *worst[2900:3000], *worst[-100:]]:
        for written in (word, word.upper(), word.title()):
            with pytest.raises(ValueError, match="guessed first"):
                await check_password(written, length=LENGTH_WITH_MFA)


@pytest.mark.parametrize(
    "password",
    [
        "ada.lovelace@example.com",
        "lovelace-ada-1815!",
        "ADALOVELACE123",
        "NovaPulse2026!!!",
        "webhooks@novapulse",
        "example.com/novapulse",
    ],
)
async def test_words_that_others_know_of_the_user_make_no_password(password: str) -> None:
    with pytest.raises(ValueError, match="your address or the name of the product"):
        await check_password(password, length=8, email="ada.lovelace@example.com")
    await check_password("nova scotia by rowing boat", email="ada.lovelace@example.com")


async def test_users_judged_at_once_are_not_told_each_others_address() -> None:
    emails = [f"{name}@example.com" for name in ("kwyjibolant", "frobnicator", "zanzibarquux")]
    alone = {email: await judge_password("kwyjibolant frob", email=email) for email in emails}
    together = await asyncio.gather(*(judge_password("kwyjibolant frob", email=each) for each in emails * 20))
    for email, verdict in zip(emails * 20, together, strict=True):
        assert verdict == alone[email]
    assert alone[emails[0]].score < alone[emails[2]].score


async def test_no_password_takes_long_to_judge() -> None:
    """zxcvbn on its own takes ten seconds for the first of these, and longer for longer ones."""
    for hard in ("4@8({[<369!1|7650$5+7%2" * 11, "a1" * 128, "(4@" * 85, "1qaz2wsx" * 32):
        began = time.process_time()
        await judge_password(hard[:LENGTH_MAX])
        assert time.process_time() - began < 2


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
