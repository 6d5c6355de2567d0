"""The outbound guard: deliveries reach the public internet, and private networks only where the operator says so.

Names and URLs are checked when a webhook is saved, for a friendly answer; what decides is the check
of the address, at every connection. The lists follow Svix, Advocate, SafeCurl and the IANA
special-purpose registries (RFC 6890); `ipaddress.is_global` alone lets a dozen of these pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import idna

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]

URL_MAX = 2_048  # characters

_DENIED_V4 = [
    (IPv4Network(text), why)
    for text, why in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local, cloud metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments, cloud metadata"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("168.63.129.16/32", "cloud platform"),
    )
]
_GLOBAL_V6 = IPv6Network("2000::/3")  # the only part of IPv6 that is routed publicly (RFC 4291, 2.4)
_DENIED_V6 = [
    (IPv6Network(text), why)
    for text, why in (
        ("2001::/23", "protocol assignments, Teredo"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
    )
]
_DENIED_NAMES = {"localhost", "metadata", "metadata.google.internal", "instance-data", "rancher-metadata"}
_DENIED_SUFFIXES = (
    ".localhost",
    ".local",
    ".internal",
    ".localdomain",
    ".home.arpa",
    ".onion",
    ".svc",
    ".cluster.local",
)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
_OWN_ADDRESSES_FOR_S = 60.0


class RefusedDestinationError(Exception):
    """A destination that deliveries must not reach; the message says which rule."""


class UnresolvedNameError(Exception):
    """The name has no address, or no name server answered."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart, its host in canonical form."""

    url: str  # the same with the canonical host: every parser reads the same host in it
    scheme: str
    host: str  # ASCII name or address, without brackets
    port: int
    is_address: bool


class Guard:
    """Decides where deliveries may go."""

    def __init__(
        self, allow: Sequence[Network] = (), allowed_ports: Sequence[int] = (), resolve: Resolve | None = None
    ) -> None:
        """`allow`: private networks that may be reached; `allowed_ports`: empty for any."""
        self._allow = list(allow)
        self._ports = frozenset(allowed_ports)
        self._resolve = resolve or _system_resolve
        self._own: frozenset[Address] = frozenset()
        self._own_until = 0.0

    def check_url(self, url: str) -> Target:
        """Take a URL apart and refuse what no delivery should go to, without looking anything up.

        Raises:
            RefusedDestinationError: with the rule.
        """
        target = parse_target(url)
        if target.is_address:
            self.check_address(target.host, target.port)
        else:
            self._check_name(target.host)
            self._check_port(target.port)
        return target

    def check_address(self, address: str, port: int) -> None:
        """Refuse an address that may not be connected to. This is the check that decides.

        Raises:
            RefusedDestinationError: with the network it is in.
        """
        self._check_port(port)
        parsed = ip_address(address)
        if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
            raise RefusedDestinationError(f"{address} is tied to a network interface")
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        if any(parsed in network for network in self._allow if network.version == parsed.version):
            return
        why = _denied(parsed)
        if why is None and parsed in self._own_addresses():
            why = "this machine itself"
        if why is not None:
            raise RefusedDestinationError(
                f"{address} is not a public address ({why}); NOVAPULSE_ALLOW_PRIVATE_NETWORKS can allow it"
            )

    async def resolve(self, target: Target) -> list[str]:
        """The addresses of a target, every one of them checked: one bad address refuses all.

        Raises:
            RefusedDestinationError: any address is not allowed.
            UnresolvedNameError: there is none.
        """
        addresses = [target.host] if target.is_address else await self._resolve(target.host, target.port)
        if not addresses:
            raise UnresolvedNameError(f"'{target.host}' has no address")
        for address in addresses:
            self.check_address(address, target.port)
        return addresses

    async def check_save(self, url: str) -> None:
        """The check for a form: the URL, and its addresses if the name has any now.

        Raises:
            RefusedDestinationError: with the rule.
        """
        target = self.check_url(url)
        try:
            await self.resolve(target)
        except UnresolvedNameError:
            # A name may come later, or be known on the workers only; the connection checks again.
            return

    def _check_port(self, port: int) -> None:
        if self._ports and port not in self._ports:
            allowed = ", ".join(str(number) for number in sorted(self._ports))
            raise RefusedDestinationError(f"port {port} is not allowed; allowed are {allowed}")

    def _check_name(self, host: str) -> None:
        if self._allow:
            return  # names of private networks may be meant; their addresses decide
        if host in _DENIED_NAMES or host.endswith(_DENIED_SUFFIXES):
            raise RefusedDestinationError(f"'{host}' is a name of a private network")
        if "." not in host:
            raise RefusedDestinationError(f"'{host}' is not a full domain name")

    def _own_addresses(self) -> frozenset[Address]:
        now = time.monotonic()
        if now > self._own_until:
            self._own = _addresses_of_this_machine()
            self._own_until = now + _OWN_ADDRESSES_FOR_S
        return self._own


def parse_target(url: str) -> Target:
    """Take a URL apart as strictly as possible: what a lenient parser might read otherwise is refused.

    Raises:
        RefusedDestinationError: with what is wrong.
    """
    if len(url) > URL_MAX:
        raise RefusedDestinationError(f"a URL has at most {URL_MAX} characters")
    if any(ord(char) <= 0x20 or ord(char) == 0x7F or char == "\\" for char in url):
        raise RefusedDestinationError("a URL has no spaces, control characters or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise RefusedDestinationError("this is not a URL") from None
    if parts.scheme not in ("http", "https"):
        raise RefusedDestinationError("a URL starts with https:// or http://")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise RefusedDestinationError("a URL must not hold a user name or password; send them as a header")
    if parts.fragment or url.endswith("#"):
        raise RefusedDestinationError("a URL to send to has no #fragment")
    host = parts.hostname or ""
    if not host:
        raise RefusedDestinationError("the URL has no host")
    if port == 0 or not re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(:[1-9][0-9]{0,4})?", parts.netloc):
        raise RefusedDestinationError("the host or port of the URL is malformed")
    port = port or (443 if parts.scheme == "https" else 80)
    is_address = True
    if parts.netloc.startswith("["):
        host = _canonical_v6(host)
    else:
        try:
            host = str(IPv4Address(host))
        except ValueError:
            host, is_address = _canonical_name(host), False
    rest = url.split("://", 1)[1].removeprefix(parts.netloc)
    canonical = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}{rest}"
    return Target(canonical, parts.scheme, host, port, is_address)


def _canonical_v6(host: str) -> str:
    if "%" in host:
        raise RefusedDestinationError("an address must not name a network interface")
    try:
        return str(IPv6Address(host))
    except ValueError:
        raise RefusedDestinationError(f"'{host}' is not an IPv6 address") from None


def _canonical_name(host: str) -> str:
    name = host.rstrip(".").lower() if host.count(".") and not host.endswith("..") else host.lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=False).decode()
        except idna.IDNAError:
            raise RefusedDestinationError(f"'{host}' is not a domain name") from None
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise RefusedDestinationError(f"'{host}' is not a domain name")
    # `0x7f.1`, `2130706433`, `0177.0.0.1`: C libraries read these as addresses.
    if _NUMERIC.fullmatch(labels[-1]):
        raise RefusedDestinationError(f"'{host}' is not a domain name, and not an address in its usual form")
    return name


def _denied(address: Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((why for network, why in _DENIED_V4 if address in network), None)
    if address not in _GLOBAL_V6:
        return "not global unicast"
    return next((why for network, why in _DENIED_V6 if address in network), None)


def _addresses_of_this_machine() -> frozenset[Address]:
    found: set[Address] = set()
    with contextlib.suppress(OSError):
        found |= {ip_address(str(info[4][0]).split("%")[0]) for info in socket.getaddrinfo(socket.gethostname(), None)}
    for family, outside in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            # Connecting a datagram socket sends nothing; it shows the address packets would leave from.
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((outside, 9))
                found.add(ip_address(probe.getsockname()[0].split("%")[0]))
        except OSError:
            continue
    return frozenset(found)


async def _system_resolve(host: str, port: int) -> list[str]:
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnresolvedNameError(f"'{host}' could not be looked up: {error}") from error
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def networks(texts: Sequence[str]) -> list[Network]:
    """CIDRs as networks."""
    return [ip_network(text, strict=False) for text in texts]
