"""The wheel is all one needs: installed into an empty environment, in an empty folder, without Node."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from novapulse.launch import frontend
from tests.instance import Instance

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]


def _uv() -> str:
    found = shutil.which("uv") or str(ROOT / ".venv-uv" / "bin" / "uv")
    assert Path(found).exists(), "there is no uv; `make sync` gets one"
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, as `uv build` does it; the frontend in it is the one built here."""
    frontend.build_if_stale(ROOT, quiet=True)
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([_uv(), "build", "--quiet", "--out-dir", str(folder)], cwd=ROOT, check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_frontend_and_no_sources_of_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "novapulse/_frontend/build/client/index.html" in names
    assert any(name.startswith("novapulse/_frontend/build/client/assets/reflex-env-") for name in names)
    assert not [name for name in names if "node_modules" in name or name.startswith(("tests/", "rxconfig"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_starts_without_node_and_without_the_source(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run([_uv(), "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run([_uv(), "pip", "install", "--quiet", "--python", str(python), str(wheel)], check=True)
    folder = tmp_path / "empty"
    folder.mkdir()
    instance = Instance(folder, command=[str(environment / "bin" / "novapulse")])
    instance.environment.pop("PYTHONPATH", None)
    # A PATH that holds nothing at all: neither Node nor the programs of this environment.
    instance.environment["PATH"] = str(tmp_path / "nothing")
    instance.environment["HOME"] = str(tmp_path / "home")
    try:
        took = instance.start()
        print(f"first start from the wheel: {took:.2f} s")
        with instance.client() as client:
            assert client.get("/api/v1/health").status_code == 200
        assert not (environment / "bin" / "node").exists()
        assert [path.name for path in folder.iterdir()] == ["data"]
        assert instance.run("version").stdout.strip()
        assert instance.stop() < 30
    finally:
        instance.kill()
