"""A wrong or missing key is noticed at the start, and never replaced in silence."""

import base64
import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from novapulse.launch.errors import StartError
from novapulse.launch.keycheck import load_checked_keyring
from novapulse.settings import Settings


def _settings(folder: Path, *keys: bytes) -> Settings:
    secret = ",".join(base64.b64encode(key).decode() for key in keys)
    return Settings(data_dir=folder, secret_key=SecretStr(secret))


def test_the_same_key_again(tmp_path: Path) -> None:
    key = os.urandom(32)
    load_checked_keyring(_settings(tmp_path, key))
    load_checked_keyring(_settings(tmp_path, key))


def test_another_key_is_refused(tmp_path: Path) -> None:
    load_checked_keyring(_settings(tmp_path, os.urandom(32)))
    with pytest.raises(StartError, match=r"not the secret key the data folder was made with.*NOVAPULSE_SECRET_KEY"):
        load_checked_keyring(_settings(tmp_path, os.urandom(32)))


def test_a_lost_key_file_is_not_replaced(tmp_path: Path) -> None:
    load_checked_keyring(_settings(tmp_path))
    (tmp_path / "secret.key").unlink()
    with pytest.raises(StartError, match=r"secret\.key is gone"):
        load_checked_keyring(_settings(tmp_path))
    assert not (tmp_path / "secret.key").exists()


def test_rotation_moves_on_to_the_new_key(tmp_path: Path) -> None:
    old, new = os.urandom(32), os.urandom(32)
    load_checked_keyring(_settings(tmp_path, old))
    load_checked_keyring(_settings(tmp_path, new, old))
    load_checked_keyring(_settings(tmp_path, new))
    with pytest.raises(StartError):
        load_checked_keyring(_settings(tmp_path, old))


def test_a_malformed_key_is_named_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="NOVAPULSE_SECRET_KEY") as caught:
        load_checked_keyring(Settings(data_dir=tmp_path, secret_key=SecretStr("hunter2!")))
    assert "hunter2" not in str(caught.value)
