"""A setting that cannot be used is named as people set it, and secrets are not shown."""

from pathlib import Path

import pytest

from novapulse.launch.configuration import load_settings, unknown_settings
from novapulse.launch.errors import StartError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NOVAPULSE_PORT", "99999"),
        ("NOVAPULSE_PORT", "eighty"),
        ("NOVAPULSE_ALLOW_PRIVATE_NETWORKS", "10.0.0.0/99"),
        ("NOVAPULSE_PUBLIC_URL", "hooks.example.com"),
        ("NOVAPULSE_LOG_LEVEL", "loud"),
    ],
)
def test_the_bad_setting_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StartError) as caught:
        load_settings()
    assert name in str(caught.value)
    assert value in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_bad_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOVAPULSE_PORT", "0")
    monkeypatch.setenv("NOVAPULSE_LOG_FORMAT", "xml")
    with pytest.raises(StartError) as caught:
        load_settings()
    assert "NOVAPULSE_PORT" in str(caught.value)
    assert "NOVAPULSE_LOG_FORMAT" in str(caught.value)


def test_a_misspelt_setting_is_pointed_out() -> None:
    lines = unknown_settings(["NOVAPULSE_PROT", "NOVAPULSE_PORT", "HOME", "NOVAPULSE_XYZZY"])
    assert lines[0] == "NOVAPULSE_PROT is no setting of NovaPulse; did you mean NOVAPULSE_PORT?"
    assert lines[1].startswith("NOVAPULSE_XYZZY is no setting")
    assert len(lines) == 2


def test_settings_are_read_from_files_of_secrets_and_the_environment_goes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "NOVAPULSE_SECRET_KEY").write_text("from a file\n")  # as Kubernetes names it
    (tmp_path / "novapulse_smtp_url").write_text("smtp://relay.internal\n")  # as people name theirs for Compose
    (tmp_path / "novapulse_allowed_ports").write_text("443, 8443")
    (tmp_path / "novapulse_port").write_text("9001")
    monkeypatch.setenv("NOVAPULSE_PORT", "9002")
    for variable in ("NOVAPULSE_SECRETS_DIR", "CREDENTIALS_DIRECTORY"):
        with monkeypatch.context() as patch:
            patch.setenv(variable, str(tmp_path))
            settings = load_settings()
        assert settings.secret_key.get_secret_value() == "from a file"
        assert settings.smtp_url.get_secret_value() == "smtp://relay.internal"
        assert settings.allowed_ports == [443, 8443]
        assert settings.port == 9002
    monkeypatch.setenv("NOVAPULSE_SECRETS_DIR", str(tmp_path / "missing"))
    with pytest.raises(StartError, match="NOVAPULSE_SECRETS_DIR cannot be used: there is no such folder"):
        load_settings()
