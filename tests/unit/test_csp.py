"""The policy of the pages: each inline script of the build, and no other."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from novapulse.security.csp import NO_SCRIPT, page_policy


def _hash(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def _scripts(policy: str) -> set[str]:
    directives = {name: set(values) for name, *values in (part.split() for part in policy.split(";"))}
    return directives["script-src"]


def test_inline_scripts_are_allowed_by_hash_and_files_by_origin(tmp_path: Path) -> None:
    (tmp_path / "webhooks").mkdir()
    (tmp_path / "index.html").write_text("<script>one()</script><script src='/a.js'></script><p>two()</p>")
    (tmp_path / "webhooks" / "index.html").write_text('<script type="module" async="">import "x";\n</script>')
    assert _scripts(page_policy(tmp_path)) == {"'self'", _hash("one()"), _hash('import "x";\n')}


def test_nothing_is_ever_allowed_wholesale(tmp_path: Path) -> None:
    for policy in (NO_SCRIPT, page_policy(tmp_path)):
        assert not _scripts(policy) & {"'unsafe-inline'", "'unsafe-eval'", "*", "https:", "data:", "blob:"}
        for closed in ("object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"):
            assert closed in policy
