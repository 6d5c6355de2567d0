"""When the frontend is compiled again, and when not."""

from pathlib import Path

import pytest

from novapulse.launch import frontend


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "rxconfig.py": "config = None",
        "assets/logo.svg": "<svg/>",
        "reflex.lock/package-lock.json": "{}",
        "novapulse/launch/addresses.py": "",
        "novapulse/webhooks/page.py": "import reflex as rx\n",
        "novapulse/webhooks/service.py": "async def create(): ...\n",
        "novapulse/ui/tokens.py": "RADIUS = 4\n",
        "novapulse/live/hook.js": "export {}",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "rxconfig.py", "assets/logo.svg", "novapulse/webhooks/page.py",
        "novapulse/ui/tokens.py", "novapulse/live/hook.js", "novapulse/launch/addresses.py",
    ],
)  # fmt: skip
def test_what_is_compiled_counts(root: Path, name: str) -> None:
    before = frontend.source_hash(root)
    (root / name).write_text((root / name).read_text() + "\n# changed")
    assert frontend.source_hash(root) != before


def test_locked_packages_count(root: Path) -> None:
    before = frontend.packages_hash(root)
    (root / "reflex.lock/package-lock.json").write_text('{"dependencies": {}}')
    assert frontend.packages_hash(root) != before


def test_a_new_file_counts(root: Path) -> None:
    before = frontend.source_hash(root)
    (root / "assets" / "new.svg").write_text("<svg/>")
    assert frontend.source_hash(root) != before


def test_code_without_reflex_does_not_count(root: Path) -> None:
    before = frontend.source_hash(root)
    (root / "novapulse/webhooks/service.py").write_text("async def other(): ...\n")
    assert frontend.source_hash(root) == before


def test_what_reflex_links_into_the_assets_while_it_builds_does_not_count(root: Path) -> None:
    before = frontend.source_hash(root)
    (root / "assets" / "external" / "novapulse").mkdir(parents=True)
    (root / "assets" / "external" / "novapulse" / "hook.js").symlink_to(root / "novapulse" / "live" / "hook.js")
    assert frontend.source_hash(root) == before


def test_a_copy_elsewhere_has_the_same_hash(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    import shutil

    other = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(root, other)
    assert frontend.source_hash(other) == frontend.source_hash(root)
