"""Texts of errors as sentences for people."""

from __future__ import annotations


def sentence(text: str) -> str:
    """With a capital and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."
