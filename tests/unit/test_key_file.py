"""Where the keys come from: the setting, or a file that is made once."""

from __future__ import annotations

import base64
import stat
import threading
from pathlib import Path

import pytest

from novapulse.core.crypto import KEY_BYTES, Keyring, load_keyring

OLD, NEW = b"o" * KEY_BYTES, b"n" * KEY_BYTES


def text(*keys: bytes, by: str) -> str:
    return by.join(base64.b64encode(key).decode() for key in keys)


def test_the_first_start_makes_a_key_that_the_next_start_finds(tmp_path: Path) -> None:
    token = load_keyring("", tmp_path).encrypt("x", "here")
    assert load_keyring("", tmp_path).decrypt(token, "here") == "x"


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    load_keyring("", tmp_path)
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600


def test_two_data_folders_have_two_keys(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    assert load_keyring("", one).derive("x") != load_keyring("", other).derive("x")


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    for attempt in range(50):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        together, found = threading.Barrier(8), list[bytes | Exception]()

        def start(
            folder: Path = folder, together: threading.Barrier = together, found: list[bytes | Exception] = found
        ) -> None:
            together.wait()
            try:
                found.append(load_keyring("", folder).derive("x"))
            except Exception as error:
                found.append(error)

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert len(set(map(repr, found))) == 1, found


def test_a_file_with_two_keys_rotates(tmp_path: Path) -> None:
    token = Keyring([OLD]).encrypt("x", "here")
    (tmp_path / "secret.key").write_text(text(NEW, OLD, by="\n"))
    ring = load_keyring("", tmp_path)
    assert ring.decrypt(token, "here") == "x"
    assert not ring.is_current(token)


def test_the_setting_wins_and_no_file_is_made(tmp_path: Path) -> None:
    ring = load_keyring(text(NEW, OLD, by=", "), tmp_path)
    assert ring.derive("x") == Keyring([NEW, OLD]).derive("x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("setting", ["!", "abc", text(b"short", by=","), text(NEW, by=",") + ","])
def test_a_setting_that_is_no_key_is_refused_without_showing_it(setting: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as raised:
        load_keyring(setting, tmp_path)
    assert setting not in str(raised.value)


def test_an_empty_or_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    for content in ("", "not base64!\n"):
        path.write_text(content)
        with pytest.raises(ValueError):
            load_keyring("", tmp_path)
        assert path.read_text() == content
