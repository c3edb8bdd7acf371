"""Messages go to the public internet alone, in whichever form an address is written (fault 122)."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.webhooks.addresses import (
    MOST_ADDRESSES,
    Reach,
    Resolve,
    find_addresses,
    is_public,
    read_target,
)
from pricing_rules.document import DocumentError

PUBLIC = Reach()
WIDE = Reach(schemes=("https", "http"), networks=(ipaddress.ip_network("10.1.0.0/16"),))


def saying(addresses: list[str]) -> Resolve:
    """A resolver that knows these addresses."""
    return lambda name: addresses


def refused(url: str, *, reach: Reach = PUBLIC) -> str:
    with pytest.raises(DocumentError) as caught:
        read_target(url, reach=reach)
    assert caught.value.path == ("url",)
    return caught.value.sentence


@pytest.mark.parametrize(
    "url, host, port, path",
    [
        ("https://example.com", "example.com", 443, "/"),
        ("https://example.com/a/b?c=d&e=%20", "example.com", 443, "/a/b?c=d&e=%20"),
        ("https://example.com?c=d", "example.com", 443, "/?c=d"),
        ("https://Hooks.Example.com:8443/", "Hooks.Example.com", 8443, "/"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/"),
        ("https://8.8.8.8/", "8.8.8.8", 443, "/"),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443, "/"),
    ],
)
def test_a_plain_url_is_read_as_it_is_written(url: str, host: str, port: int, path: str) -> None:
    found = read_target(url, reach=PUBLIC)
    assert (found.host, found.port, found.path) == (host, port, path)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://example.com/",
        "https:example.com",
        "//example.com",
        "https://",
        "https:///hooks",
        "https://dana@example.com/",
        "https://dana:secret@example.com/",
        "https://example.com/#part",
        "https://example.com\\@10.0.0.1/",
        "https://example.com/a b",
        " https://example.com/",
        "https://example.com/\n",
        "https://example.com/\r\nhost: other",
        "https://example.com/\u0661",
        "https://b\u00fccher.example/",
        "https://example%2ecom/",
        "https://[fe80::1%25eth0]/",
        "HTTPS://example.com/",
        "https://example.com:/",
    ],
)
def test_what_two_parsers_might_read_differently_is_refused(url: str) -> None:
    assert refused(url).startswith(("must be a plain URL", "must begin with https"))


@pytest.mark.parametrize("characters, taken", [(1_999, True), (2_000, True), (2_001, False)])
def test_a_url_has_a_longest_length(characters: int, taken: bool) -> None:
    url = "https://example.com/".ljust(characters, "a")
    if taken:
        assert len(read_target(url, reach=PUBLIC).path) == characters - 19
    else:
        assert "2,000" in refused(url)


@pytest.mark.parametrize("port", [443, 1_024, 8_443, 65_535])
def test_ports_that_are_taken(port: int) -> None:
    assert read_target(f"https://example.com:{port}/", reach=PUBLIC).port == port


@pytest.mark.parametrize("port", [0, 22, 25, 80, 442, 444, 1_023, 65_536, 99_999])
def test_ports_of_the_system_and_beyond_are_refused(port: int) -> None:
    assert "its port must be 443 or from 1,024" in refused(f"https://example.com:{port}/")


def test_http_is_refused_unless_the_deployment_allows_it() -> None:
    assert refused("http://example.com/") == "must begin with https, not http"
    assert read_target("http://example.com/", reach=WIDE).port == 80
    assert "its port must be 80" in refused("http://example.com:443/", reach=WIDE)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",  # 127.0.0.1 as one number
        "0x7f000001",
        "0X7F.0.0.1",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "1.2.3.4.5",
        "256.256.256.256",
        "127.0.0.1.",
        "0x",
        "example.0x7f",
        "example.com.",
        "-example.com",
        "example-.com",
        "exam..ple",
        ".",
        "[127.0.0.1]",
        "[:::1]",
        "[::ffff:0x7f.0.0.1]",
    ],
)
def test_a_number_in_disguise_is_no_name(host: str) -> None:
    assert refused(f"https://{host}/").startswith(("its host", f'"{host.strip("[]")}"', "must be"))


PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",  # the metadata of clouds: this one,
    "169.254.169.254",  # these,
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",  # and this one
    "127.0.0.1",
    "127.255.255.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:169.254.169.254",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_refused_as_a_host_and_as_what_a_name_leads_to(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    host = f"[{address}]" if ":" in address else address
    assert "which is not of the public internet" in refused(f"https://{host}/")
    target = read_target("https://example.com/", reach=PUBLIC)
    for found in ([address], ["8.8.8.8", address], [address, "8.8.8.8"]):
        with pytest.raises(DocumentError, match="which is not of the public internet"):
            find_addresses(target, reach=PUBLIC, resolve=saying(found))


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2606:4700::1111",
        "2a00:1450::1",
    ],
)
def test_what_is_public_is_not(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    target = read_target("https://example.com/", reach=PUBLIC)
    found = find_addresses(target, reach=PUBLIC, resolve=lambda name: [address])
    assert [str(one) for one in found] == [str(ipaddress.ip_address(address))]


@given(st.ip_addresses())
def test_nothing_is_public_that_the_registries_call_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    inside = getattr(address, "ipv4_mapped", None) or address
    if is_public(address):
        assert inside.is_global
        assert not any((inside.is_multicast, inside.is_private, inside.is_loopback))


@pytest.mark.parametrize(
    "address, allowed",
    [
        ("10.0.255.255", False),
        ("10.1.0.0", True),
        ("10.1.255.255", True),
        ("10.2.0.0", False),
        ("::ffff:10.1.0.1", True),
        ("::1", False),
    ],
)
def test_a_network_that_is_allowed_is_allowed_and_no_other(address: str, allowed: bool) -> None:
    target = read_target("https://example.com/", reach=WIDE)
    resolve = saying([address])
    if allowed:
        assert find_addresses(target, reach=WIDE, resolve=resolve)
    else:
        with pytest.raises(DocumentError, match="not of the public internet"):
            find_addresses(target, reach=WIDE, resolve=resolve)


def test_a_name_is_asked_for_once_and_an_address_is_not_asked_for() -> None:
    asked: list[str] = []

    def resolve(name: str) -> list[str]:
        asked.append(name)
        return ["8.8.8.8", "8.8.8.8", "9.9.9.9"]

    found = find_addresses(
        read_target("https://example.com:8443/", reach=PUBLIC), reach=PUBLIC, resolve=resolve
    )
    assert [str(one) for one in found] == ["8.8.8.8", "9.9.9.9"]
    literal = read_target("https://1.1.1.1/", reach=PUBLIC)
    assert len(find_addresses(literal, reach=PUBLIC, resolve=resolve)) == 1
    assert asked == ["example.com"]


def test_an_address_that_is_no_longer_allowed_is_refused_when_it_is_used() -> None:
    literal = read_target("https://10.1.0.1/", reach=WIDE)
    with pytest.raises(DocumentError, match=r"leads to 10\.1\.0\.1"):
        find_addresses(literal, reach=PUBLIC, resolve=lambda name: [])


@pytest.mark.parametrize(
    "found, said",
    [
        ([], "no address"),
        ([f"8.8.8.{n}" for n in range(MOST_ADDRESSES + 1)], "17 addresses"),
        (["nonsense"], "an address that is none"),
        (["fe80::1%eth0"], "not of the public internet"),
    ],
)
def test_what_a_resolver_may_say_wrong_is_refused(found: list[str], said: str) -> None:
    target = read_target("https://example.com/", reach=PUBLIC)
    with pytest.raises(DocumentError, match=said):
        find_addresses(target, reach=PUBLIC, resolve=lambda name: found)


def test_a_name_that_is_unknown_has_no_address() -> None:
    def resolve(name: str) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(DocumentError, match="its host has no address"):
        find_addresses(read_target("https://a.b/", reach=PUBLIC), reach=PUBLIC, resolve=resolve)
