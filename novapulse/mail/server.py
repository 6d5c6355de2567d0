"""What `NOVAPULSE_SMTP_URL` says of the mail server. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import parse_qs, unquote, urlsplit

_LOOKS = "it looks like smtp://user:password@mail.example.com:587, with special characters of the password as %40 etc."


class Tls(StrEnum):
    AT_ONCE = "at_once"  # RFC 8314, 3.3
    REQUIRED = "required"  # STARTTLS (RFC 3207), or nothing is said
    IF_OFFERED = "if_offered"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """A server that takes our mail."""

    host: str
    port: int
    tls: Tls
    user: str = ""
    password: str = field(default="", repr=False)


def parse_smtp_url(url: str) -> SmtpServer:
    """Read `smtp[s]://[user:password@]host[:port][?starttls=required|never]`.

    A password is never sent in the clear unless that is asked for: with one, STARTTLS is required, except on this
    machine. The message of the error does not repeat the URL.

    Raises:
        ValueError: it cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps"):
        raise ValueError("must start with smtp:// or smtps://")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.path not in ("", "/") or parts.fragment or port == 0:
        raise ValueError(_LOOKS)
    asked = _starttls(parts.scheme, parts.query)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if password and not user:
        raise ValueError("has a password and no user")
    if parts.scheme == "smtps":
        tls, usual_port = Tls.AT_ONCE, 465
    else:
        # RFC 6409: users submit at 587; a relay that trusts its network listens at 25.
        usual_port = 587 if user else 25
        tls = asked or (Tls.REQUIRED if user and not _is_here(host) else Tls.IF_OFFERED)
    return SmtpServer(host, port or usual_port, tls, user, password)


def _starttls(scheme: str, query: str) -> Tls | None:
    options = parse_qs(query, keep_blank_values=True)
    chosen = options.pop("starttls", None)
    if options:
        raise ValueError("has no option besides starttls")
    if chosen is None:
        return None
    if scheme == "smtps":
        raise ValueError("is TLS from the start with smtps://; starttls goes with smtp://")
    if chosen not in (["required"], ["never"]):
        raise ValueError("starttls must be 'required' or 'never'")
    return Tls(chosen[0])


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
