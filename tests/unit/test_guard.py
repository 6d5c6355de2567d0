"""The outbound guard: addresses, the operator's allow-list, ports, and all-or-nothing over what a name resolves to."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novapulse.webhooks.guard import (
    Guard,
    RefusedDestinationError,
    Target,
    UnresolvedNameError,
    networks,
    parse_target,
)

PUBLIC = ["1.1.1.1", "8.8.8.8", "2001:4860:4860::8888", "2606:4700:4700::1111", "::ffff:8.8.8.8"]
DENIED = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255"),
    *("192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "227.1.1.1", "240.0.0.1", "255.255.255.255", "168.63.129.16", "100.100.100.200"),
    *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::ffff:0:7f00:1", "64:ff9b::808:808"),
    *("64:ff9b:1::1", "100::1", "2001::1", "2001:1ff:ffff::1", "2001:db8::1", "2002:808:808::1", "3fff::1"),
    *("3fff:fff:ffff::1", "4000::1", "5f00::1", "fc00::1", "fdff::1", "fe80::1", "fec0::1", "ff02::1"),
    *("fe80::1%lo", "2606:4700:4700::1111%eth0", "fd00:ec2::254"),
]


class Names:
    """A name server that says what it is told to, once per question."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return list(self.answers[min(len(self.asked), len(self.answers)) - 1])


def guard(allow: Sequence[str] = (), ports: Sequence[int] = (), names: Names | None = None) -> Guard:
    return Guard(networks(allow), ports, names)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached(address: str) -> None:
    guard().check_address(address, 443)


@pytest.mark.parametrize("address", DENIED)
def test_a_special_address_may_not(address: str) -> None:
    with pytest.raises(RefusedDestinationError):
        guard().check_address(address, 443)


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_the_address_inside(address: IPv4Address) -> None:
    def allowed(text: str) -> bool:
        try:
            guard().check_address(text, 443)
        except RefusedDestinationError:
            return False
        return True

    assert allowed(f"::ffff:{address}") is allowed(str(address))


@given(st.ip_addresses())
def test_what_python_knows_to_be_private_is_never_reached(address: IPv4Address | IPv6Address) -> None:
    special = address.is_private or address.is_multicast or address.is_reserved or address.is_loopback
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
    if (special or not address.is_global) and not mapped:
        with pytest.raises(RefusedDestinationError):
            guard().check_address(str(address), 443)


@given(
    st.ip_addresses(v=4),
    st.sampled_from(["2002:{:08x}::", "64:ff9b::{:08x}", "::{:08x}", "::ffff:0:{:08x}", "2001:0:1::{:08x}"]),
)
def test_an_address_wrapped_for_a_tunnel_is_refused_whatever_is_inside(address: IPv4Address, wrapping: str) -> None:
    digits = f"{int(address):08x}"
    text = wrapping.replace("{:08x}", f"{digits[:4]}:{digits[4:]}")
    with pytest.raises(RefusedDestinationError):
        guard().check_address(str(ip_address(text)), 443)


def test_the_operator_can_allow_a_private_network_and_only_that_one() -> None:
    own = guard(["10.1.0.0/16", "fd12::/16"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1", "1.1.1.1"):
        own.check_address(address, 80)
    for address in ("10.2.0.1", "127.0.0.1", "fd13::1", "::10.1.2.3", "64:ff9b::a01:203", "fd12::1%eth0"):
        with pytest.raises(RefusedDestinationError):
            own.check_address(address, 80)


def test_a_refusal_names_the_rule_and_the_way_to_allow_it() -> None:
    with pytest.raises(RefusedDestinationError, match=r"10\.0\.0\.1 .*private.*NOVAPULSE_ALLOW_PRIVATE_NETWORKS"):
        guard().check_address("10.0.0.1", 80)


def test_private_names_may_be_meant_where_a_private_network_is_allowed() -> None:
    with pytest.raises(RefusedDestinationError, match="private network"):
        guard().check_url("http://vault.internal/")
    assert guard(["10.0.0.0/8"]).check_url("http://vault.internal/").host == "vault.internal"


@pytest.mark.parametrize("url", ["http://example.com:8080/", "http://1.1.1.1:22/", "http://[2606:4700::1111]:25/"])
def test_other_ports_than_the_allowed_ones_are_refused(url: str) -> None:
    guard().check_url(url)
    with pytest.raises(RefusedDestinationError, match="allowed are 80, 443"):
        guard(ports=[443, 80]).check_url(url)
    guard(ports=[443, 80]).check_url("https://example.com/")
    with pytest.raises(RefusedDestinationError, match="port"):
        guard(["10.0.0.0/8"], [443]).check_address("10.0.0.1", 80)


async def test_all_addresses_of_a_name_are_handed_out_in_order_when_all_are_public() -> None:
    names = Names(["2606:4700:4700::1111", "1.1.1.1"])
    target = parse_target("https://Example.com./")
    assert await guard(names=names).resolve(target) == ["2606:4700:4700::1111", "1.1.1.1"]
    assert names.asked == [("example.com", 443)]


@given(st.permutations(["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111"]), st.integers(0, 3), st.sampled_from(DENIED))
async def test_one_bad_address_among_a_names_addresses_refuses_them_all(good: list[str], at: int, bad: str) -> None:
    names = Names([*good[:at], bad, *good[at:]])
    with pytest.raises(RefusedDestinationError):
        await guard(names=names).resolve(parse_target("https://127.0.0.1.nip.io/"))


async def test_an_address_is_checked_again_without_asking_a_name_server() -> None:
    names = Names([])
    assert await guard(names=names).resolve(parse_target("http://1.1.1.1/")) == ["1.1.1.1"]
    with pytest.raises(RefusedDestinationError):
        await guard(names=names).resolve(Target("http://127.0.0.1/", "http", "127.0.0.1", 80, True))
    assert names.asked == []


async def test_a_name_without_an_address_is_unresolved_and_may_still_be_saved() -> None:
    own = guard(names=Names([]))
    with pytest.raises(UnresolvedNameError):
        await own.resolve(parse_target("https://example.com/"))
    await own.check_save("https://example.com/")


async def test_a_name_that_leads_inside_is_refused_when_it_is_saved() -> None:
    with pytest.raises(RefusedDestinationError):
        await guard(names=Names(["127.0.0.1"])).check_save("https://localtest.me/")


async def test_a_name_that_changes_between_two_look_ups_is_refused_at_the_second() -> None:
    own = guard(names=Names(["1.1.1.1"], ["169.254.169.254"]))
    await own.check_save("https://rebind.example/")
    with pytest.raises(RefusedDestinationError):
        await own.resolve(parse_target("https://rebind.example/"))


@pytest.mark.parametrize("host", ["does-not-exist.invalid", "a" * 63 + ".invalid"])
async def test_a_name_that_the_system_cannot_look_up_is_unresolved(host: str) -> None:
    with pytest.raises(UnresolvedNameError):
        await guard().resolve(parse_target(f"https://{host}/"))
