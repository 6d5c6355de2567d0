"""What mail settings mean, and when a message is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.launch.configuration import load_settings
from novapulse.launch.errors import StartError
from novapulse.mail.compose import masked
from novapulse.mail.retry import GIVE_UP_MS, next_attempt
from novapulse.mail.server import SmtpServer, Tls, parse_smtp_url
from novapulse.settings import Settings


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://relay.internal", SmtpServer("relay.internal", 25, Tls.IF_OFFERED)),
        ("smtp://relay.internal:2525/", SmtpServer("relay.internal", 2525, Tls.IF_OFFERED)),
        ("smtp://relay.internal?starttls=never", SmtpServer("relay.internal", 25, Tls.NEVER)),
        ("smtp://relay.internal?starttls=required", SmtpServer("relay.internal", 25, Tls.REQUIRED)),
        ("smtps://mail.example.com", SmtpServer("mail.example.com", 465, Tls.AT_ONCE)),
        ("smtps://u:p@mail.example.com", SmtpServer("mail.example.com", 465, Tls.AT_ONCE, "u", "p")),
        # A password is not sent in the clear, unless that is asked for or it stays on this machine.
        ("smtp://u:p@mail.example.com", SmtpServer("mail.example.com", 587, Tls.REQUIRED, "u", "p")),
        ("smtp://u:p@mail.example.com?starttls=never", SmtpServer("mail.example.com", 587, Tls.NEVER, "u", "p")),
        ("smtp://u:p@localhost:25", SmtpServer("localhost", 25, Tls.IF_OFFERED, "u", "p")),
        ("smtp://u:p@127.0.0.1", SmtpServer("127.0.0.1", 587, Tls.IF_OFFERED, "u", "p")),
        ("smtp://u:p@[::1]", SmtpServer("::1", 587, Tls.IF_OFFERED, "u", "p")),
        ("smtp://a%40b.c:p%2F%23%3A@h", SmtpServer("h", 587, Tls.REQUIRED, "a@b.c", "p/#:")),
    ],
)
def test_a_url_names_the_server(url: str, server: SmtpServer) -> None:
    assert parse_smtp_url(url) == server


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com:25",
        "http://mail.example.com",
        "smtp://",
        "smtp://u:sesame/x@h",
        "smtp://u:sesame#x@h",
        "smtp://:sesame@h",
        "smtp://h:99999",
        "smtp://h:0",
        "smtp://h:port",
        "smtp://h?starttls=maybe",
        "smtp://h?starttls",
        "smtp://h?tls=1",
        "smtps://h?starttls=required",
        "smtp://[::1",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_at_the_start_and_its_password_not_shown(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOVAPULSE_SMTP_URL", url)
    with pytest.raises(StartError) as caught:
        load_settings()
    assert "NOVAPULSE_SMTP_URL cannot be used" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_a_server_does_not_show_its_password() -> None:
    assert "sesame" not in repr(parse_smtp_url("smtp://u:sesame@h"))


@pytest.mark.parametrize(
    ("values", "sender"),
    [
        ({}, "NovaPulse <novapulse@localhost>"),
        ({"public_url": "https://hooks.example.com:8443"}, "NovaPulse <novapulse@hooks.example.com>"),
        ({"public_url": "https://192.0.2.1"}, "NovaPulse <novapulse@localhost>"),
        ({"public_url": "https://[2001:db8::1]"}, "NovaPulse <novapulse@localhost>"),
        ({"mail_from": "Nova <ops@example.com>"}, "Nova <ops@example.com>"),
        ({"mail_from": "ops@example.com"}, "ops@example.com"),
    ],
)
def test_mail_comes_from_the_public_host_or_as_set(values: dict[str, str], sender: str) -> None:
    assert Settings(**values).mail_sender == sender  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["ops", "Ops <ops>", "a@b\r\nBcc: x@y.z", "N\n <a@b.c>", "ä@example.com", "a b@c d"])
def test_a_sender_that_is_no_address_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOVAPULSE_MAIL_FROM", value)
    with pytest.raises(StartError, match="NOVAPULSE_MAIL_FROM"):
        load_settings()


def test_limits_of_domains_are_read_and_what_cannot_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOVAPULSE_MAIL_DOMAIN_LIMITS", "Gmail.com=20/1s 1000/1h; *=100/60s; example.org=off;")
    limits = load_settings().mail_domain_limits
    assert {name: " ".join(map(str, rates)) for name, rates in limits.items()} == {
        "gmail.com": "20/1s 1000/3600s",
        "*": "100/60s",
        "example.org": "",
    }
    for wrong in ("gmail.com", "gmail.com=20", "g mail=1/1s", "a.com=1/1s; a.com=2/1s", "*.com=1/1s"):
        monkeypatch.setenv("NOVAPULSE_MAIL_DOMAIN_LIMITS", wrong)
        with pytest.raises(StartError, match="NOVAPULSE_MAIL_DOMAIN_LIMITS"):
            load_settings()


def test_attempts_lie_apart_as_documented() -> None:
    delays = [next_attempt(n, 0, 0, lambda: 0.0) for n in range(1, 10)]
    assert delays == [s * 1000 for s in (10, 30, 60, 300, 900, 1_800, 3_600, 3_600, 3_600)]


@given(st.integers(1, 100), st.integers(0, 2 * GIVE_UP_MS), st.floats(0, 1, exclude_max=True))
def test_an_attempt_is_ahead_and_within_the_day_or_there_is_none(attempts: int, age: int, chance: float) -> None:
    at = next_attempt(attempts, 0, age, lambda: chance)
    if at is None:
        assert age >= GIVE_UP_MS - 3_600_000 * 1.2
    else:
        assert age + 10_000 <= at < GIVE_UP_MS


def test_a_masked_address_is_recognised_and_cannot_be_written_to() -> None:
    assert masked("vera@example.com") == "v***@example.com"
    assert masked("v@example.com") == "v***@example.com"
    assert masked("@") == "***@"
