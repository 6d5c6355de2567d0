"""The embedded Valkey keeps its data when it is killed, and finds a place for its socket."""

import signal
import time
from pathlib import Path

import pytest
import redis

from novapulse.launch import valkey
from novapulse.launch.errors import StartError
from novapulse.settings import Settings


def _wait(unix_socket: Path) -> None:
    for _ in range(500):
        if valkey.is_ready(unix_socket):
            return
        time.sleep(0.01)
    pytest.fail("Valkey does not answer")


def test_data_survives_a_kill(tmp_path: Path) -> None:
    unix_socket, data = tmp_path / "s" / "v.sock", tmp_path / "data"
    first = valkey.start(unix_socket, data)
    _wait(unix_socket)
    with redis.Redis(unix_socket_path=str(unix_socket)) as client:
        client.set("kept", "yes")
    first.kill()
    first.wait()
    second = valkey.start(unix_socket, data)
    try:
        _wait(unix_socket)
        with redis.Redis(unix_socket_path=str(unix_socket), decode_responses=True) as client:
            assert client.get("kept") == "yes"
            assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(10) == 0


def test_only_the_owner_may_open_the_socket(tmp_path: Path) -> None:
    unix_socket = tmp_path / "s" / "v.sock"
    process = valkey.start(unix_socket, tmp_path / "data")
    try:
        _wait(unix_socket)
        assert unix_socket.stat().st_mode & 0o777 == 0o700
        assert unix_socket.parent.stat().st_mode & 0o777 == 0o700
    finally:
        process.kill()
        process.wait()


def test_a_long_data_folder_gets_a_short_socket(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / ("d" * 120))
    assert len(str(settings.valkey_socket)) < 100
    assert settings.valkey_socket == Settings(data_dir=tmp_path / ("d" * 120)).valkey_socket
    assert settings.valkey_socket != Settings(data_dir=tmp_path / ("e" * 120)).valkey_socket


def test_a_socket_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StartError, match="written by others"):
        valkey.start(folder / "v.sock", tmp_path / "data")


def test_a_left_over_server_is_replaced(tmp_path: Path) -> None:
    unix_socket, data = tmp_path / "s" / "v.sock", tmp_path / "data"
    orphan = valkey.start(unix_socket, data)
    _wait(unix_socket)
    process = valkey.start(unix_socket, data)
    try:
        assert orphan.wait(10) is not None
        _wait(unix_socket)
    finally:
        process.kill()
        process.wait()
