"""What stands in the way of a start is said in one line, with what to do, and leaves nothing behind."""

from __future__ import annotations

import base64
import os
import pwd
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from novapulse.launch import frontend
from tests.instance import Instance, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module", autouse=True)
def _frontend() -> None:
    root = frontend.source_tree()
    assert root is not None
    frontend.build_if_stale(root, quiet=True)


def _refusal(instance: Instance) -> str:
    """Start it, expect it to refuse; returns the one line that says why."""
    instance.launch()
    assert instance.wait_end() == 1, instance.output
    assert "Traceback" not in instance.output
    lines = [line for line in instance.lines if line.startswith("novapulse: ")]
    assert lines, instance.output
    return lines[-1]


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("held")) as instance:
        yield instance


def test_port_taken(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = _refusal(Instance(tmp_path, port=str(port)))
    assert f"Port {port} on 127.0.0.1 is taken" in line
    assert "NOVAPULSE_PORT" in line


def test_data_folder_in_use(held: Instance) -> None:
    line = _refusal(Instance(held.folder))
    assert "is in use by another NovaPulse" in line
    assert str(held.process.pid) in line
    assert "NOVAPULSE_DATA_DIR" in line


def test_data_folder_not_writable(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    line = _refusal(Instance(tmp_path))
    assert f"The data folder {tmp_path / 'data'} cannot be written" in line
    assert "NOVAPULSE_DATA_DIR" in line


def test_bad_setting_is_named(tmp_path: Path) -> None:
    line = _refusal(Instance(tmp_path, webhook_concurrency="many"))
    assert "NOVAPULSE_WEBHOOK_CONCURRENCY" in line
    assert "many" in line


def test_valkey_not_reachable(tmp_path: Path) -> None:
    line = _refusal(Instance(tmp_path, redis_url="redis://:s3cret@127.0.0.1:1/0"))
    assert "Valkey cannot be reached" in line
    assert "NOVAPULSE_REDIS_URL" in line
    assert "s3cret" not in line


def test_postgres_not_reachable(tmp_path: Path) -> None:
    line = _refusal(Instance(tmp_path, database_url="postgresql://np:s3cret@127.0.0.1:1/np"))
    assert "The database cannot be used" in line
    assert "NOVAPULSE_DATABASE_URL" in line
    assert "s3cret" not in line


def test_database_url_that_is_none(tmp_path: Path) -> None:
    line = _refusal(Instance(tmp_path, database_url="postgres"))
    assert "NOVAPULSE_DATABASE_URL cannot be used" in line


def test_weak_admin_password(tmp_path: Path) -> None:
    line = _refusal(Instance(tmp_path, admin_email="ada@example.com", admin_password="pass"))
    assert "NOVAPULSE_ADMIN_PASSWORD" in line


def test_wrong_key_for_existing_data(tmp_path: Path) -> None:
    first, second = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))
    with running(tmp_path, secret_key=first) as instance:
        instance.stop()
    line = _refusal(Instance(tmp_path, secret_key=second))
    assert "not the secret key the data folder was made with" in line
    assert "NOVAPULSE_SECRET_KEY" in line
    assert second not in line
    wrong = Instance(tmp_path, secret_key=second)
    for command in (["worker"], ["scheduler"], ["apikey", "create", "--name", "x", "--scope", "*"]):
        refused = wrong.run(*command)
        assert refused.returncode == 1, command
        assert "not the secret key the data folder was made with" in refused.stderr, command


def test_a_lost_key_is_missed_and_not_made_anew(tmp_path: Path) -> None:
    with running(tmp_path) as instance:
        instance.stop()
    key = tmp_path / "data" / "secret.key"
    key.unlink()
    for command in ("worker", "web"):
        refused = instance.run(command)
        assert refused.returncode == 1, command
        assert "The key is missing" in refused.stderr, command
    assert "The key is missing" in instance.run("key", "status").stderr
    assert not key.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_data_folder_of_another_user(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    nobody = pwd.getpwnam("nobody").pw_uid
    code = (
        "import sys, os; from pathlib import Path\n"
        "from novapulse.launch.preflight import check_data_dir\n"
        "from novapulse.launch.errors import StartError\n"
        f"os.setuid({nobody})\n"
        "try: check_data_dir(Path(sys.argv[1]))\n"
        "except StartError as error: print(error)\n"
    )
    import subprocess

    for folder in [tmp_path, *tmp_path.parents]:
        if folder.owner() == "root" and folder.parts[-1] not in ("/", "tmp"):
            folder.chmod(0o755)
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True, check=True
    )
    assert "cannot be written (Permission denied)" in result.stdout


def test_a_refused_start_leaves_no_process(tmp_path: Path) -> None:
    import psutil

    instance = Instance(tmp_path, database_url="postgresql://np@127.0.0.1:1/np")
    _refusal(instance)
    time.sleep(0.2)
    folder = str(tmp_path)
    assert [p.pid for p in psutil.process_iter(["cmdline"]) if folder in " ".join(p.info["cmdline"] or [])] == []
