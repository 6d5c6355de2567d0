"""Texts of errors as sentences for people."""

from __future__ import annotations

import re

# What pydantic says, and how people say it. Tenants are the only texts of the form with a pattern.
_SAID_BETTER = (
    (re.compile(r"String should match pattern .*"), "must be letters, digits and any of . _ : @ / -"),
    (re.compile(r"(Input|String|List|Value) should "), "must "),
    (re.compile(r"less than or equal to (\S+)"), r"at most \1"),
    (re.compile(r"greater than or equal to (\S+)"), r"at least \1"),
    (re.compile(r" after validation, not \d+"), ""),
)


def sentence(text: str) -> str:
    """With a capital and a full stop, and in plain words."""
    for pattern, words in _SAID_BETTER:
        text = pattern.sub(words, text)
    return text[:1].upper() + text[1:].rstrip(".") + "."
