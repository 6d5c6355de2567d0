"""URLs: the hostile ones are refused without a look-up, and every parser reads the same host in the others."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.webhooks.guard import Guard, RefusedDestinationError, networks, parse_target

from .hostile import ALL_URLS, IPV6, LOOPBACK_IN_DISGUISE, OTHER_SCHEMES, PARSER_TRICKS

EVERYTHING = networks(["0.0.0.0/0", "::/0"])


@pytest.mark.parametrize("url", ALL_URLS)
def test_a_hostile_url_is_refused(url: str) -> None:
    with pytest.raises(RefusedDestinationError):
        Guard().check_url(url)


@pytest.mark.parametrize("url", [*PARSER_TRICKS, *OTHER_SCHEMES])
def test_what_parsers_may_read_differently_is_refused_even_where_every_network_is_allowed(url: str) -> None:
    with pytest.raises(RefusedDestinationError):
        Guard(EVERYTHING).check_url(url)


@pytest.mark.parametrize("url", LOOPBACK_IN_DISGUISE + IPV6)
def test_with_every_network_allowed_a_target_is_an_address_only_in_its_usual_form(url: str) -> None:
    """A host that C libraries read as an address must never be taken for a name."""
    try:
        target = Guard(EVERYTHING).check_url(url)
    except RefusedDestinationError:
        return
    assert target.is_address or not target.host.split(".")[-1][:1].isdigit()


@pytest.mark.parametrize(
    ("url", "canonical", "host"),
    [
        ("https://example.com", "https://example.com:443", "example.com"),
        ("HTTPS://EXAMPLE.com/A?b=C", "https://example.com:443/A?b=C", "example.com"),
        ("http://example.com./x", "http://example.com:80/x", "example.com"),
        ("http://example.com:8080?", "http://example.com:8080?", "example.com"),
        ("http://a_b.example.com/", "http://a_b.example.com:80/", "a_b.example.com"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example:443/ü", "xn--bcher-kva.example"),
        ("https://BÜCHER.example", "https://xn--bcher-kva.example:443", "xn--bcher-kva.example"),
        ("https://faß.example/", "https://xn--fa-hia.example:443/", "xn--fa-hia.example"),
        ("https://example。com/", "https://example.com:443/", "example.com"),
        ("http://1.1.1.1:81/", "http://1.1.1.1:81/", "1.1.1.1"),
        ("https://[2606:4700:0::1111]/", "https://[2606:4700::1111]:443/", "2606:4700::1111"),
        ("https://example.com/a@b:c//d", "https://example.com:443/a@b:c//d", "example.com"),
        ("https://a.example/https://b.example", "https://a.example:443/https://b.example", "a.example"),
        ("https://example.com?u=a:b@c", "https://example.com:443?u=a:b@c", "example.com"),
    ],
)
def test_a_good_url_is_taken_apart_with_one_canonical_host(url: str, canonical: str, host: str) -> None:
    target = Guard().check_url(url)
    assert (target.url, target.host) == (canonical, host)
    assert target.is_address is (host in ("1.1.1.1", "2606:4700::1111"))


HOSTS = st.from_regex(r"[a-zA-Z0-9_.-]{1,30}", fullmatch=True) | st.text(max_size=20)


@given(st.sampled_from(["http", "https", "HTTP"]), HOSTS, st.integers(-1, 70_000), st.text(max_size=20))
def test_a_url_is_refused_or_says_what_the_target_says(scheme: str, host: str, port: int, path: str) -> None:
    url = f"{scheme}://{host}{'' if port < 0 else f':{port}'}/{path}"
    try:
        target = parse_target(url)
    except RefusedDestinationError:
        return
    again = urlsplit(target.url)
    assert (again.scheme, again.hostname, again.port) == (target.scheme, target.host, target.port)
    assert target.host == target.host.lower()
    assert target.host.isascii()
    assert not target.host.endswith(".")
    assert target.url.endswith(f"/{path}")
    assert parse_target(target.url) == target, "what is canonical stays as it is"


@given(st.text())
def test_any_text_is_a_target_or_refused_and_nothing_else(url: str) -> None:
    for text in (url, "http://" + url, "https://[" + url):
        try:
            assert parse_target(text).host
        except RefusedDestinationError as error:
            assert str(error)


def test_the_longest_url_is_taken_and_one_character_more_is_not() -> None:
    longest = "https://example.com/".ljust(2048, "a")
    assert parse_target(longest).host == "example.com"
    with pytest.raises(RefusedDestinationError, match="2048"):
        parse_target(longest + "a")
