"""Makes a compiled frontend find its server from the page's own address.

Reflex bakes the server's address into the frontend: `assets/reflex-env-*.js` holds URLs, and the code that uses them
takes the page's host name but keeps the baked port on http, and drops the port on https. A frontend that is built once
and served anywhere must not know an address, so after the build:

- the URLs of `reflex-env-*.js` are computed in the browser, from `location`;
- the list of host names for which Reflex would alter them is emptied, so that they stay as computed.

Both places are asserted to be there: a new Reflex that differs fails the build and not the user's browser.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path

_URL = re.compile(r"[`\"'](http|ws)s?://localhost:8000(/[\w\-/]*)[`\"']")
_ALTERED_HOSTS = re.compile(
    r"\[\s*[`\"']localhost[`\"']\s*,\s*[`\"']0\.0\.0\.0[`\"']\s*,\s*[`\"']::[`\"']\s*,"
    r"\s*[`\"']0:0:0:0:0:0:0:0[`\"']\s*\]"
)
# There is no `location` when the code runs outside a browser.
_ORIGIN = '(typeof location>"u"?"http://localhost":location.origin)'


class UnknownFrontendError(Exception):
    """The compiled frontend does not look as expected."""


def make_relocatable(client: Path) -> None:
    """Rewrite the compiled frontend in `client` in place, with its compressed copies.

    Raises:
        UnknownFrontendError: a place to rewrite was not found.
    """
    environments = list(client.glob("assets/reflex-env-*.js"))
    if len(environments) != 1:
        raise UnknownFrontendError(f"expected one assets/reflex-env-*.js, found {len(environments)}")
    _rewrite(environments[0], _compute_urls(environments[0].read_text()))
    altered = 0
    for script in client.glob("assets/*.js"):
        text, count = _ALTERED_HOSTS.subn("[]", script.read_text())
        if count:
            altered += count
            _rewrite(script, text)
    if altered != 1:
        raise UnknownFrontendError(f"expected one list of host names that Reflex alters, found {altered}")


def _compute_urls(script: str) -> str:
    def expression(match: re.Match[str]) -> str:
        origin = _ORIGIN if match[1] == "http" else f'{_ORIGIN}.replace(/^http/,"ws")'
        return f'{origin}+"{match[2]}"'

    text, count = _URL.subn(expression, script)
    if not count or "localhost:8000" in text:
        raise UnknownFrontendError("the addresses in assets/reflex-env-*.js are not as expected")
    return text


def _rewrite(script: Path, text: str) -> None:
    script.write_text(text)
    compressed = script.with_name(script.name + ".gz")
    if compressed.exists():
        compressed.write_bytes(gzip.compress(text.encode(), mtime=0))
