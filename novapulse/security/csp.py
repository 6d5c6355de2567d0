"""The Content-Security-Policy of the pages: the inline scripts that the build puts into them are allowed one by one.

React Router starts a page by inline scripts that are the same for everybody, so their hashes (CSP 3, 2.3.1) can stand
in the policy, and no other inline script runs. Styles cannot be listed so: emotion writes `<style>` while a page is
open, and Radix positions its menus by `style` attributes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

_INLINE = re.compile(r"<script(?P<attributes>[^>]*)>(?P<code>.*?)</script>", re.DOTALL)
_REST = (
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
NO_SCRIPT = f"default-src 'self'; script-src 'self'; {_REST}"


def page_policy(folder: Path) -> str:
    """The policy for the pages of a build in this folder."""
    hashes = sorted(set(_hashes(file.read_text() for file in folder.rglob("*.html"))))
    return f"default-src 'self'; script-src 'self' {' '.join(hashes)}; {_REST}"


def _hashes(pages: Iterable[str]) -> Iterable[str]:
    for page in pages:
        for script in _INLINE.finditer(page):
            if "src=" not in script["attributes"]:
                digest = hashlib.sha256(script["code"].encode()).digest()
                yield f"'sha256-{base64.b64encode(digest).decode()}'"
