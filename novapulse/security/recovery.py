"""Recovery codes: they stand in for a lost authenticator, each once. Their text and their hashes; pure.

Ten of 80 random bits. Below 112 bits a look-up secret is kept as a salted password hash (NIST SP 800-63B-4, 3.1.2.2;
OWASP ASVS 5.0, 6.5.2), whose cost may be small: what is random cannot be guessed from a list.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

COUNT = 10
FEW = 3  # from here on their owner is warned
_CHARS = 16
_GROUP = 4
# 32 symbols, 5 bits each; without I, L, O and U, as in Crockford's base32.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TAKEN_FOR = str.maketrans({"o": "0", "i": "1", "l": "1"})  # what people read in their place
_BETWEEN = re.compile(r"[\s\u2010-\u2015\u2212-]")  # spaces, and the dashes that editors make of a hyphen
_HASHER = PasswordHasher(time_cost=2, memory_cost=4 * 1024, parallelism=1)


def new_codes() -> list[str]:
    """A set of fresh codes, as they are shown: `abcd-efgh-jkmn-pqrs`."""
    return [_shown("".join(secrets.choice(_ALPHABET) for _ in range(_CHARS))) for _ in range(COUNT)]


def clean_code(typed: str) -> str | None:
    """The code somebody typed, however they grouped it and in any case; None: it is not such a code."""
    plain = _BETWEEN.sub("", typed).lower().translate(_TAKEN_FOR)
    return plain if len(plain) == _CHARS and set(plain) <= set(_ALPHABET) else None


def hash_codes(codes: Sequence[str]) -> list[str]:
    """The Argon2id hash of each. Takes a while: not for the event loop."""
    return [_HASHER.hash(clean_code(code) or code) for code in codes]


def matching(hashes: Sequence[str], code: str) -> int | None:
    """Which of the hashes is of this cleaned code. All are tried, so that the time says nothing; not for the loop."""
    found = None
    for index, hashed in enumerate(hashes):
        try:
            _HASHER.verify(hashed, code)
            found = index
        except (VerificationError, InvalidHashError):
            continue
    return found


def _shown(code: str) -> str:
    return "-".join(code[start : start + _GROUP] for start in range(0, _CHARS, _GROUP))
