"""What MkDocs does besides, as hooks: pages that live elsewhere in the project, and Mermaid from this very site."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
_MERMAID = "@mermaid-js/tiny@11.17.2"
_MERMAID_SHA256 = "7a644017d37f93c8359790884e6b67fb1f747c78eb20475952404bd87190a3f8"  # pragma: allowlist secret
_ELSEWHERE = {
    "security/index.md": "SECURITY.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "screenshots/logo.svg": "assets/logo.svg",
}
# How those pages, which are read in the repository as well, are linked from here.
_LINKS = {
    "security/index.md": {"docs/security/": "", "docs/": "../"},
    "contributing.md": {"docs/": ""},
    "changelog.md": {"docs/": ""},
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the project's root."""
    for place, source in _ELSEWHERE.items():
        path = ROOT / source
        if not path.exists():
            continue
        if place in _LINKS:
            text = path.read_text(encoding="utf-8")
            for before, after in _LINKS[place].items():
                text = text.replace(f"]({before}", f"]({after}")
            files.append(File.generated(config, place, content=text))
        else:
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Put Mermaid beside the pages: they would load it from a network of others."""
    target = Path(config.site_dir) / "assets" / "mermaid.min.js"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(_mermaid())


def _mermaid() -> bytes:
    kept = ROOT / ".web.docs" / f"mermaid-{_MERMAID_SHA256[:8]}.js"
    if not kept.exists():
        script = _fetch()
        if hashlib.sha256(script).hexdigest() != _MERMAID_SHA256:
            raise PluginError(f"{_MERMAID} is not what it was when it was chosen")
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(script)
    return kept.read_bytes()


def _fetch() -> bytes:
    npm = Path(sys.executable).with_name("npm")
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(  # noqa: S603 - our own command
            [str(npm), "pack", _MERMAID, "--silent"], cwd=folder, check=True, capture_output=True, text=True
        )
        with tarfile.open(Path(folder) / packed.stdout.split()[-1]) as content:
            member = content.extractfile("package/dist/mermaid.tiny.js")
            assert member is not None
            return member.read()
