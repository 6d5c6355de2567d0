"""A setting that cannot be used is named as people set it, and secrets are not shown."""

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
