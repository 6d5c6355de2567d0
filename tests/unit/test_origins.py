"""Which pages may call us from a browser, and whose address a call counts for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.security.origins import client_ip, is_same_origin_call, is_trusted_origin
from novapulse.settings import Settings

PUBLIC = "https://hooks.example.com"


def settings(**values: Any) -> Settings:
    return Settings(**values)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://localhost:8000", "localhost:8000"),
        ("http://192.168.1.5:8000", "192.168.1.5:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("https://192.168.1.5", "192.168.1.5"),
    ],
)
def test_without_a_public_url_our_own_page_under_an_address_is_trusted(origin: str, host: str) -> None:
    assert is_trusted_origin(settings(), origin, host)


def test_the_name_we_listen_on_is_trusted() -> None:
    assert is_trusted_origin(settings(host="nova.lan"), "http://nova.lan:8000", "nova.lan:8000")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example:8000", "evil.example:8000"),  # DNS rebinding: the name leads to us, the page is theirs
        ("http://localhost.evil.example:8000", "localhost.evil.example:8000"),
        ("http://127.0.0.1.evil.example:8000", "127.0.0.1.evil.example:8000"),
        ("http://127.0.0.1:3000", "127.0.0.1:8000"),
        ("http://localhost:8000", "127.0.0.1:8001"),
        ("http://127.1:8000", "127.1:8000"),
        ("http://user@127.0.0.1:8000", "127.0.0.1:8000"),
        ("ftp://127.0.0.1:8000", "127.0.0.1:8000"),
        ("null", "127.0.0.1:8000"),
        ("", ""),
        ("http://", ""),
        ("http://[", "["),
        ("http://[::1", "[::1"),
    ],
)
def test_other_pages_are_not_trusted(origin: str, host: str) -> None:
    assert not is_trusted_origin(settings(), origin, host)


def test_with_a_public_url_only_it_and_the_listed_origins_are_trusted() -> None:
    own = settings(public_url=PUBLIC + "/", allowed_origins="https://ops.example.com")
    assert is_trusted_origin(own, PUBLIC, "hooks.example.com")
    assert is_trusted_origin(own, PUBLIC, "10.0.0.5:8000"), "a proxy may change the host"
    assert is_trusted_origin(own, "https://ops.example.com", "hooks.example.com")
    for origin in (
        "http://127.0.0.1:8000",
        "http://hooks.example.com",
        PUBLIC + ":8443",
        PUBLIC + ".evil.example",
        "https://evil.example",
    ):
        assert not is_trusted_origin(own, origin, "127.0.0.1:8000")
        assert not is_trusted_origin(own, origin, origin.partition("://")[2])


@given(st.text(), st.text())
def test_no_header_breaks_the_judgement(origin: str, host: str) -> None:
    assert not is_trusted_origin(settings(public_url=PUBLIC), origin, host)
    is_trusted_origin(settings(), origin, host)
    is_trusted_origin(settings(), "http://" + origin, origin)


OWN = {"origin": "http://127.0.0.1:8000", "host": "127.0.0.1:8000"}


@pytest.mark.parametrize("site", [None, "same-origin", "none"])
def test_our_own_page_may_change_things(site: str | None) -> None:
    assert is_same_origin_call(settings(), OWN if site is None else OWN | {"sec-fetch-site": site})


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_the_browser_calls_foreign_is_foreign_whatever_the_origin_says(site: str) -> None:
    assert not is_same_origin_call(settings(), OWN | {"sec-fetch-site": site})


@pytest.mark.parametrize("headers", [{}, {"host": "127.0.0.1:8000"}, OWN | {"origin": "null"}])
def test_a_call_without_an_origin_is_not_our_pages(headers: dict[str, str]) -> None:
    assert not is_same_origin_call(settings(), headers)


@pytest.mark.parametrize(
    ("hops", "forwarded_for", "address"),
    [
        (0, "1.1.1.1", "peer"),  # no proxy in front: anybody can write this header
        (1, "", "peer"),
        (1, "1.1.1.1", "1.1.1.1"),
        (1, "6.6.6.6, 1.1.1.1", "1.1.1.1"),
        (2, "6.6.6.6, 1.1.1.1, 10.0.0.1", "1.1.1.1"),
        (2, "1.1.1.1", "peer"),
        (1, " , 1.1.1.1 ,", "1.1.1.1"),
    ],
)
def test_only_what_trusted_proxies_added_counts(hops: int, forwarded_for: str, address: str) -> None:
    assert client_ip(settings(trusted_proxy_hops=hops), "peer", forwarded_for) == address


@given(
    st.lists(st.ip_addresses(v=4).map(str), max_size=5), st.ip_addresses(v=4).map(str), st.ip_addresses(v=4).map(str)
)
def test_a_caller_cannot_choose_the_address_it_counts_for(forged: list[str], caller: str, proxy: str) -> None:
    forwarded_for = ", ".join([*forged, caller])
    assert client_ip(settings(trusted_proxy_hops=1), proxy, forwarded_for) == caller
