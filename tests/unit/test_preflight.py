"""Everything that can stand in the way of a start is said in one line with what to do."""

import os
import socket
from pathlib import Path

import pytest

from novapulse.launch.errors import StartError
from novapulse.launch.preflight import check_data_dir, check_port, lock_data_dir


def test_a_missing_data_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    check_data_dir(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_file_in_the_place_of_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StartError, match="NOVAPULSE_DATA_DIR"):
        check_data_dir(tmp_path / "data")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_data_folder_without_the_right_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StartError, match="cannot be written"):
        check_data_dir(tmp_path)


def test_the_second_lock_names_the_holder(tmp_path: Path) -> None:
    handle = lock_data_dir(tmp_path)
    try:
        with pytest.raises(StartError, match=rf"in use by another NovaPulse \(process {os.getpid()}\)"):
            lock_data_dir(tmp_path)
    finally:
        os.close(handle)
    os.close(lock_data_dir(tmp_path))


def test_a_taken_port_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(StartError, match=f"Port {other.getsockname()[1]} on 127.0.0.1 is taken.*NOVAPULSE_PORT"):
            check_port("127.0.0.1", other.getsockname()[1])


def test_a_foreign_address_is_refused() -> None:
    with pytest.raises(StartError, match="NOVAPULSE_HOST"):
        check_port("192.0.2.1", 8000)
