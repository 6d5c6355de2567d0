"""Logs hold no secrets: hidden by the name of the value, or by the shape of the text."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from novapulse.core.logging import configure, redact
from novapulse.security.api_keys import PREFIX
from novapulse.settings import Settings
from novapulse.webhooks.signing import new_secret


def redacted(**event: Any) -> dict[str, Any]:
    return dict(redact(None, "info", {"event": "something", **event}))


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "new_password",
        "client_secret",
        "SECRET",
        "session_token",
        "Authorization",
        "set-cookie",
        "api_key",
        "ApiKey",
    ],
)
def test_a_value_whose_name_says_secret_is_hidden(name: str) -> None:
    assert redacted(**{name: "hunter2"})[name] == "***"
    assert redacted(**{name: ["hunter2"]})[name] == "***"


@pytest.mark.parametrize("name", ["headers", "request"])
def test_secrets_inside_other_values_are_hidden_too(name: str) -> None:
    inner = {"Authorization": "Basic aHVudGVyMg==", "x": ["whsec_aHVudGVyMg=="], "n": 5, "ok": "fine"}
    assert redacted(**{name: inner})[name] == {"Authorization": "***", "x": ["***"], "n": 5, "ok": "fine"}
    assert inner["n"] == 5
    assert inner["Authorization"].startswith("Basic"), "the caller's own value stays as it is"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key np_live_aB-_9 was used", "key *** was used"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("bearer abc", "***"),
        ("redis://:hunter2@cache:6379/0", "redis://***@cache:6379/0"),
        ("postgresql://nova:hunter2@db/nova", "postgresql://***@db/nova"),
        ("smtp://nova:hunt@er2@mail", "smtp://***@mail"),
        ("failed for https://example.com:8443/hook", "failed for https://example.com:8443/hook"),
        ("mail to ada@example.com", "mail to ada@example.com"),
    ],
)
def test_what_has_the_shape_of_a_secret_is_cut_out_of_any_text(text: str, shown: str) -> None:
    assert redacted(error=text)["error"] == shown
    assert redacted(event=text)["event"] == shown


@given(st.text(), st.text())
def test_our_own_secrets_are_hidden_wherever_they_stand(before: str, after: str) -> None:
    for secret in (new_secret(), PREFIX + "a-B_9" * 8):
        assert secret not in redacted(error=f"{before} {secret} {after}")["error"]


@given(st.integers() | st.none() | st.booleans() | st.floats(allow_nan=False))
def test_numbers_stay_numbers(value: object) -> None:
    assert redacted(count=value)["count"] is value


@pytest.fixture
def restored() -> Iterator[None]:
    """Puts the process's logging back as it was."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was written to the log."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_both_our_logs_and_those_of_libraries_are_json_without_secrets(
    restored: None, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(Settings(log_format="json"), "web")
    structlog.get_logger().info("started", url="redis://:hunter2@cache", password="hunter2")
    logging.getLogger("library").warning("cannot reach %s", "redis://:hunter2@cache")
    try:
        raise RuntimeError("whsec_hunter2")
    except RuntimeError:
        structlog.get_logger().exception("failed")
    read = lines(capsys)
    assert [entry["event"] for entry in read] == ["started", "cannot reach redis://***@cache", "failed"]
    assert read[0]["process"] == "web"
    assert "RuntimeError" in read[2]["exception"]
    assert "hunter2" not in json.dumps(read)


def test_what_is_below_the_level_is_not_written(restored: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_format="json", log_level="warning"), "web")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [entry["event"] for entry in lines(capsys)] == ["loud"]
