"""Where messages may go: URLs as they are written, and the addresses that their names have.

A name is looked up by us, once for each attempt, and the connection is made to an address that was
checked, so that a name cannot lead elsewhere between the check and the connection.

Invariant: an address that is not of the public internet is refused in whichever form it comes,
unless the deployment allows its network by name; one refused address refuses the name.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from pricing_rules.document import DocumentError

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Sequence[str]]
"""The addresses of a name; OSError where it has none."""

MOST_CHARACTERS = 2_000
MOST_ADDRESSES = 16

_URL = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<target>(?:/[!$%&'()*+,;=:@A-Za-z0-9._~/-]*)?"
    r"(?:\?[!$%&'()*+,;=:@A-Za-z0-9._~/?-]*)?)\Z",
    re.ASCII,
)
"""Stricter than any parser: what two of them might read differently is refused."""

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z", re.ASCII)
_NUMBER = re.compile(r"(?:[0-9]+|0[xX][0-9a-fA-F]*)\Z", re.ASCII)

_PORTS = {"https": 443, "http": 80}
_LEAST_FREE_PORT = 1_024

_PUBLIC_V6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_REFUSED: tuple[Network, ...] = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments; the metadata of one cloud
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv4Network("168.63.129.16/32"),  # inside another cloud, its own host
    IPv6Network("2001::/23"),  # Teredo and other protocol assignments
    IPv6Network("2002::/16"),  # 6to4: another address inside
    IPv6Network("3fff::/20"),  # documentation
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far messages may go. ``schemes``: https, and http where a deployment wants it.

    ``networks``: those allowed besides the public internet.
    """

    schemes: tuple[str, ...] = ("https",)
    networks: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL that was read: ``host`` is a name, or an address without brackets."""

    scheme: str
    host: str
    port: int
    path: str


def read_target(url: str, *, reach: Reach) -> Target:
    """Read the URL of an endpoint.

    DocumentError where it is no plain URL of a scheme that is allowed, where it has a login or a
    fragment, where its host is a number in disguise, where its port is one of the system's, and
    where its host is an address that messages may not go to.
    """
    found = _URL.match(url) if len(url) <= MOST_CHARACTERS else None
    if found is None:
        raise _wrong(
            f"must be a plain URL such as https://example.com/hooks, of at most "
            f"{MOST_CHARACTERS:,} ASCII characters, without a login and without a fragment (#)",
        )
    scheme, host = found["scheme"], found["host"].strip("[]")
    bracketed = host != found["host"]
    if scheme not in reach.schemes:
        raise _wrong(f"must begin with {' or '.join(reach.schemes)}, not {scheme}")
    port = int(found["port"] or _PORTS[scheme])
    if port != _PORTS[scheme] and not _LEAST_FREE_PORT <= port <= 65_535:
        raise _wrong(f"its port must be {_PORTS[scheme]} or from {_LEAST_FREE_PORT:,} to 65,535")
    address = _literal(host)
    if address is not None and bracketed == (address.version == 6):
        _check_address(address, reach=reach)
    elif bracketed or not _is_name(host):
        raise _wrong(f'"{host:.60}" is no name of a host; write a name, or an address in full')
    path = found["target"]
    return Target(
        scheme=scheme, host=host, port=port, path=path if path.startswith("/") else f"/{path}"
    )


def find_addresses(target: Target, *, reach: Reach, resolve: Resolve) -> tuple[Address, ...]:
    """The addresses of a target, each of which messages may go to.

    DocumentError where its name has none, or too many, or one that messages may not go to.
    """
    literal = _literal(target.host)
    if literal is not None:
        _check_address(literal, reach=reach)
        return (literal,)
    try:
        texts = resolve(target.host)
    except OSError:
        texts = ()
    if not texts or len(texts) > MOST_ADDRESSES:
        has = f"{len(texts)} addresses" if texts else "no address"
        raise _wrong(f"its host has {has}")
    found = []
    for text in texts:
        address = _literal(text)
        if address is None:
            raise _wrong("its host has an address that is none")
        _check_address(address, reach=reach)
        found.append(address)
    return tuple(dict.fromkeys(found))


def system_addresses(name: str) -> tuple[str, ...]:
    """The addresses of a name, as this machine knows them."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet; one inside another is judged by both."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        if address not in _PUBLIC_V6:
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not any(address.version == one.version and address in one for one in _REFUSED)
    )


def _check_address(address: Address, *, reach: Reach) -> None:
    inside = getattr(address, "ipv4_mapped", None) or address
    if is_public(address) or any(
        inside.version == one.version and inside in one for one in reach.networks
    ):
        return
    raise _wrong(f"leads to {address}, which is not of the public internet")


def _wrong(sentence: str) -> DocumentError:
    return DocumentError("url", sentence, path=("url",))


def _literal(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_name(host: str) -> bool:
    labels = host.split(".")
    # Ending in a number it is an address to some: 127.1, 0x7f000001, 2130706433, 0177.0.0.1.
    return all(_LABEL.match(label) for label in labels) and not _NUMBER.match(labels[-1])
