"""Logs hold no secrets: hidden by the name of the value, or by the shape of the text."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from novapulse.core import trace
from novapulse.core.database import Database
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
    ("said", "shown"),
    [
        ("key np_live_aB-_9 was used", "key *** was used"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("bearer abc", "***"),
        ("redis://:hunter2@cache:6379/0", "redis://***@cache:6379/0"),
        ("postgresql://nova:hunter2@db/nova", "postgresql://***@db/nova"),
        ("smtp://nova:hunt@er2@mail", "smtp://***@mail"),
        ("failed for https://example.com:8443/hook", "failed for https://example.com:8443/hook"),
        ("mail to ada@example.com", "mail to ada@example.com"),
        ("GET https://example.com/hook?token=abc#x failed", "GET https://example.com/hook?*** failed"),
        ("https://hooks.example.com/T0/B0/aZ3aZ3aZ3aZ3aZ3aZ3aZ3aZ3/x", "https://hooks.example.com/T0/B0/***/x"),
        ("https://token-of-mine@example.com/", "https://***@example.com/"),
        ("/reset?token=abc&next=/x", "/reset?token=***&next=/x"),
        ("Cookie: np_session=abc; theme=dark", "Cookie: np_session=***; theme=dark"),
        ("""{"password": "a \\"b\\" c", "n": 1}""", """{"password": "***", "n": 1}"""),  # pragma: allowlist secret
        ("{'new_password': 'a b', 'n': 1}", "{'new_password': '***', 'n': 1}"),  # pragma: allowlist secret
        ("seed JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "seed ***"),
        ("code 3f7k-9mzq-0abc-d2ef", "code ***"),
        ("session aB3-" + "xY7_" * 10, "session ***"),
        ("Key (email)=(ada (x)) already exists.", "Key (email)=(***) already exists."),
        ("Authorization: Basic aHVudGVyMg==", "Authorization: ***"),
        ("evt_01a20e4c544a73e7bdce4b6292bc376d on w-1", "evt_01a20e4c544a73e7bdce4b6292bc376d on w-1"),
    ],
)
def test_what_has_the_shape_of_a_secret_is_cut_out_of_any_text(said: str, shown: str) -> None:
    assert redacted(error=said)["error"] == shown
    assert redacted(event=said)["event"] == shown


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
    handlers, level, hooks = logging.root.handlers[:], logging.root.level, (sys.excepthook, threading.excepthook)
    yield
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)
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


async def test_stores_that_cannot_be_reached_do_not_tell_their_passwords(
    restored: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Errors of the drivers themselves, with their tracebacks; also what a statement was given."""
    configure(Settings(log_format="json"), "web")
    log = structlog.get_logger()
    secret = "hunter2-of-the-store"  # pragma: allowlist secret
    for url in (f"postgresql+asyncpg://nova:{secret}@127.0.0.1:9/nova", f"sqlite+aiosqlite:///{tmp_path}/x.db"):
        database = Database(url)
        try:
            async with database.write() as session:
                await session.execute(text("INSERT INTO none VALUES (:password)"), {"password": secret})
        except (SQLAlchemyError, OSError):
            log.exception("failed", url=url)
        await database.close()
    valkey = Redis.from_url(f"redis://:{secret}@127.0.0.1:9/0", socket_connect_timeout=1)
    try:
        await valkey.ping()
    except (RedisError, OSError) as error:
        log.warning("away", error=error, client=repr(valkey), exc_info=True)
    await valkey.aclose()
    written = capsys.readouterr().err
    assert written.count('"exception"') == 3 and secret not in written


def test_each_line_names_its_trace_and_logger(restored: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_format="json"), "worker")
    with trace.within(trace.Place("ab" * 16, None, True)):
        structlog.get_logger("novapulse.x").info("ours")
        logging.getLogger("asyncio").error("theirs")
    structlog.get_logger("novapulse.x").info("elsewhere")
    ours, theirs, elsewhere = lines(capsys)
    assert (ours["trace_id"], ours["logger"], ours["process"]) == ("ab" * 16, "novapulse.x", "worker")
    assert (theirs["trace_id"], theirs["logger"], theirs["process"]) == ("ab" * 16, "asyncio", "worker")
    assert "trace_id" not in elsewhere


def test_a_module_has_a_level_of_its_own(restored: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_format="json", log_level="warning", log_levels={"novapulse.webhooks": "debug"}), "web")
    structlog.get_logger("novapulse.webhooks.engine").debug("near")
    structlog.get_logger("novapulse.webhooksxx").debug("not of it")
    structlog.get_logger("novapulse.jobs").info("far")
    structlog.get_logger("novapulse.jobs").warning("loud")
    assert [entry["event"] for entry in lines(capsys)] == ["near", "loud"]


def test_what_comes_again_and_again_is_left_out(
    restored: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(Settings(log_format="json"), "web")
    log, now = structlog.get_logger(), time.monotonic()
    monkeypatch.setattr("novapulse.core.logging.time.monotonic", lambda: now)
    for n in range(100):
        log.warning("away", n=n)
        logging.getLogger("library").warning("away %s", n)
        log.info("call", n=n)
    assert Counter(line["event"].split()[0] for line in lines(capsys)) == {"away": 40, "call": 100}
    now += 11
    log.warning("away", n=100)
    (line,) = lines(capsys)
    assert line["left_out"] == 80


def test_what_nobody_caught_is_logged_as_everything_else(restored: None, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_format="json"), "web")
    try:
        raise RuntimeError("whsec_hunter2")
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)
    thread = threading.Thread(target=lambda: {}["np_live_hunter2"])
    thread.start()
    thread.join()
    first, second = lines(capsys)
    assert first["event"] == second["event"] == "uncaught_error"
    assert "RuntimeError: ***" in first["exception"] and "KeyError: '***'" in second["exception"]
