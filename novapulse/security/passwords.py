"""Passwords: Argon2id (RFC 9106), long enough, and not among those that are guessed first (NIST SP 800-63B-4, 3.1.1.2).

How easily one is guessed is estimated by zxcvbn. There are no rules of composition, and nobody has to change theirs
because time has passed.
"""

from __future__ import annotations

import asyncio
import math
import re
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LENGTH_ALONE = 15  # characters, where a password is all that is asked for
LENGTH_WITH_MFA = 8  # where the rules require a second factor besides
LENGTH_MAX = 256
SCORE_MIN = 2  # of zxcvbn's 0 to 4: more than 10^6 guesses

_PRODUCT = ("novapulse", "nova", "pulse", "webhook", "webhooks")
_OWN_LETTERS = 4  # what a password has besides words that others know of its user
# What zxcvbn looks at: it takes the square of the length in time. What comes after can only make it stronger.
_JUDGED = 72
# Readings of `p455w0rd`: zxcvbn tries all combinations, which may take ten seconds, so past some they are made one.
_READINGS_MAX = 8
_ALIKE = {"a": "4@", "c": "([{<", "g": "69", "i": "1!|", "l": "1|7", "s": "5$", "t": "7+"}
_AS_ONE = str.maketrans({"@": "4", "[": "(", "{": "(", "<": "(", "!": "1", "|": "1", "$": "5", "+": "7"})

# OWASP Password Storage: m = 19 MiB, t = 2, p = 1 at least.
_HASHER = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
# Verified for unknown users, so that they take as long as known ones.
_DUMMY = _HASHER.hash("no user has this password")
# Two at a time: more would only fight for the processor, and 32 MiB each.
_slots: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}
# zxcvbn keeps what it is told of the user in a dictionary that all calls share.
_judging = threading.Lock()


@dataclass(frozen=True, slots=True)
class Verdict:
    """How good a password is; `problem` is why it is refused."""

    score: int  # 0 to 4
    warning: str = ""
    suggestions: list[str] = field(default_factory=list[str])
    problem: str | None = None


def length_min(role: str, roles_with_mfa: Sequence[str]) -> int:
    """How many characters a password of this role has at least."""
    return LENGTH_WITH_MFA if role in roles_with_mfa else LENGTH_ALONE


async def judge_password(password: str, *, length: int = LENGTH_ALONE, email: str = "") -> Verdict:
    """How good this password is for somebody of this address, whose passwords have at least `length` characters."""
    return await asyncio.to_thread(_judge, password, length, email)


async def check_password(password: str, *, length: int = LENGTH_ALONE, email: str = "") -> None:
    """Refuse what is too short, too long, or easily guessed.

    Raises:
        ValueError: with the reason.
    """
    problem = (await judge_password(password, length=length, email=email)).problem
    if problem is not None:
        raise ValueError(problem)


def _judge(password: str, length: int, email: str) -> Verdict:
    if any("\ud800" <= char <= "\udfff" for char in password):
        return Verdict(0, problem="this password holds half a character, which is not text")
    plain = unicodedata.normalize("NFKC", password)
    if len(plain) > LENGTH_MAX:
        return Verdict(0, problem=f"a password has at most {LENGTH_MAX} characters")
    if not plain:
        return Verdict(0, problem=f"a password has at least {length} characters; a few words do well")
    verdict = _estimate(plain, email)
    # Length comes first: it is what one sees from the first character on.
    if len(plain) < length:
        problem = f"a password has at least {length} characters; a few words do well"
    elif _is_of_known_words(plain.lower(), email):
        problem = "this password is made of your address or the name of the product, which others try first"
    elif plain.lower() in _most_used():
        problem = "this is one of the passwords that are guessed first; choose a few words of your own"
    elif verdict.score < SCORE_MIN:
        why = verdict.warning or (verdict.suggestions or ["Add another word or two."])[0]
        problem = f"this password is easily guessed. {why.rstrip('.')}"
    else:
        return verdict
    return Verdict(verdict.score, verdict.warning, verdict.suggestions, problem)


def _estimate(plain: str, email: str) -> Verdict:
    # Imported when the first password is judged: its lists of words take 15 MB, and most processes need none.
    from zxcvbn import zxcvbn

    judged = plain[:_JUDGED]
    letters = [sum(char in judged for char in alike) for alike in _ALIKE.values()]
    if math.prod(max(1, count) for count in letters) > _READINGS_MAX:
        judged = judged.translate(_AS_ONE)
    with _judging:
        found = zxcvbn(judged, _known_words(email), max_length=_JUDGED)
    feedback = found["feedback"]
    return Verdict(int(found["score"]), str(feedback["warning"]), [str(each) for each in feedback["suggestions"]])


def _known_words(email: str) -> list[str]:
    """What others know of this user, longest first."""
    parts = {email.lower(), *re.split(r"[\W_]+", email.lower()), *_PRODUCT}
    return sorted((part for part in parts if len(part) > 2), key=len, reverse=True)


def _is_of_known_words(plain: str, email: str) -> bool:
    """Whether hardly a letter is left of it without them: zxcvbn thinks much of how such words can be put together."""
    rest = plain
    for word in _known_words(email):
        rest = rest.replace(word, "")
    return rest != plain and len(re.sub(r"[\W\d_]+", "", rest)) < _OWN_LETTERS


@cache
def _most_used() -> frozenset[str]:
    """The 30,000 passwords that are used most; some 11,600 of them are long enough to matter."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= LENGTH_WITH_MFA)


async def hash_password(password: str) -> str:
    """The Argon2id hash of a password."""
    async with _slot():
        return await asyncio.to_thread(_HASHER.hash, unicodedata.normalize("NFKC", password))


async def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether the password is right; None (no such user) takes as long and is never right."""
    async with _slot():
        return await asyncio.to_thread(_verify, password_hash, unicodedata.normalize("NFKC", password))


def _verify(password_hash: str | None, password: str) -> bool:
    try:
        _HASHER.verify(password_hash or _DUMMY, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
    return bool(password_hash)


def _slot() -> asyncio.Semaphore:
    loop = asyncio.get_running_loop()
    if loop not in _slots:
        _slots[loop] = asyncio.Semaphore(2)
    return _slots[loop]
