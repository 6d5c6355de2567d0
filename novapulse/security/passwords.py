"""Passwords: Argon2id (RFC 9106), at least 15 characters on their own (NIST SP 800-63B-4)."""

from __future__ import annotations

import asyncio
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LENGTH_MIN = 15
LENGTH_MAX = 256

# OWASP Password Storage: m = 19 MiB, t = 2, p = 1 at least.
_HASHER = PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
# Verified for unknown users, so that they take as long as known ones.
_DUMMY = _HASHER.hash("no user has this password")
# Two at a time: more would only fight for the processor, and 32 MiB each.
_slots: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}


def check_password(password: str) -> None:
    """Refuse what is too short or too long; no rules of composition (800-63B-4, 3.1.1.2).

    Raises:
        ValueError: with what is missing.
    """
    if any("\ud800" <= char <= "\udfff" for char in password):
        raise ValueError("this password holds half a character, which is not text")
    length = len(unicodedata.normalize("NFKC", password))
    if length < LENGTH_MIN:
        raise ValueError(f"a password has at least {LENGTH_MIN} characters; a few words do well")
    if length > LENGTH_MAX:
        raise ValueError(f"a password has at most {LENGTH_MAX} characters")
    if len(set(password)) < 5:
        raise ValueError("this password repeats itself; a few words do better")


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
