"""Where a browser's call may come from, and which address a call came from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from novapulse.settings import Settings


def is_trusted_origin(settings: Settings, origin: str, host: str) -> bool:
    """Whether a page of this origin may call us, who were called as `host`.

    Trusted are the public URL and the origins in the settings. Where no public URL is set, a page is
    trusted that we served ourselves under an address or `localhost`: any other name could be one that
    an attacker points at us (DNS rebinding).
    """
    try:
        parts = urlsplit(origin)
    except ValueError:  # such as `http://[`
        return False
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return False
    if origin in {settings.base_url, *settings.allowed_origins}:
        return True
    return not settings.public_url and parts.netloc == host and _is_plain_host(parts.hostname or "", settings.host)


def is_same_origin_call(settings: Settings, headers: Mapping[str, str]) -> bool:
    """Whether a state-changing call with a cookie was made by our own page (OWASP CSRF)."""
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return False
    return is_trusted_origin(settings, headers.get("origin", ""), headers.get("host", ""))


def client_ip(settings: Settings, peer: str, forwarded_for: str) -> str:
    """The caller's address: the peer's, or what the configured number of trusted proxies say."""
    hops = settings.trusted_proxy_hops
    chain = [part.strip() for part in forwarded_for.split(",") if part.strip()]
    return chain[-hops] if 0 < hops <= len(chain) else peer


_PASSED_ON = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


def is_from_here(peer: str, headers: Mapping[str, str]) -> bool:
    """Whether a call was made on this machine: to its loopback address, under such a name, and passed on by nobody."""
    if not _is_loopback(peer) or any(name in headers for name in _PASSED_ON):
        return False
    try:
        return _is_loopback(urlsplit(f"//{headers.get('host', '')}").hostname or "")
    except ValueError:
        return False


def _is_loopback(name: str) -> bool:
    try:
        address = ip_address(name)
    except ValueError:
        return name == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _is_plain_host(name: str, configured: str) -> bool:
    if name in ("localhost", configured):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
