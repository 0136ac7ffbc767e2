"""Which addresses a webhook may call."""

import ipaddress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.blocks._addresses import parse_address, why_blocked


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "carrier-private"),
        ("100.100.100.200", "carrier-private"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("168.63.129.16", "metadata"),
        ("169.254.169.254", "link-local or metadata"),
        ("169.254.170.2", "link-local or metadata"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.192", "reserved or metadata"),
        ("192.168.1.1", "private"),
        ("198.19.255.255", "benchmarking"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved or broadcast"),
        ("255.255.255.255", "reserved or broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::127.0.0.1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "link-local or metadata"),
        ("::ffff:0:10.0.0.1", "reserved"),
        ("64:ff9b::169.254.169.254", "link-local or metadata"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b:1::8.8.8.8", "reserved"),
        ("100::1", "reserved"),
        ("2001::1", "protocol-reserved"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::", "tunnel"),
        ("3fff::1", "documentation"),
        ("5f00::1", "reserved"),
        ("fc00::1", "private or metadata"),
        ("fd00:ec2::254", "private or metadata"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fec0::1", "private"),
        ("ff02::1", "multicast"),
    ],
)
def test_is_blocked(address: str, why: str) -> None:
    assert why_blocked(parse_address(address)) == why


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "128.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00:1450:4001:800::200e",
    ],
)
def test_is_not_blocked(address: str) -> None:
    assert why_blocked(parse_address(address)) is None


# What the standard library, whose lists were made by others, holds for not public must be blocked here too.


@given(st.ip_addresses(v=4))
def test_what_the_standard_library_calls_not_global_is_blocked(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert why_blocked(address) is not None


@given(st.ip_addresses(v=6))
def test_the_same_for_ipv6_unless_it_carries_a_public_ipv4_address(address: IPv6Address) -> None:
    carries = address.ipv4_mapped is not None or address in ipaddress.IPv6Network("64:ff9b::/96")
    if not carries and (not address.is_global or address.is_multicast or address.is_reserved):
        assert why_blocked(address) is not None


NETWORKS = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
]


@given(st.sampled_from(NETWORKS).flatmap(lambda network: st.ip_addresses(network=network)))
def test_every_address_of_a_blocked_network_is_blocked_plain_mapped_and_translated(address: IPv4Address) -> None:
    assert why_blocked(address) is not None
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        assert why_blocked(IPv6Address(int(IPv6Address(prefix)) + int(address))) is not None


@given(
    st.sampled_from(["fc00::/7", "fe80::/10", "ff00::/8", "2002::/16", "2001::/32"]).flatmap(
        lambda network: st.ip_addresses(network=network)
    )
)
def test_every_address_of_a_blocked_ipv6_network_is_blocked(address: IPv6Address) -> None:
    assert why_blocked(address) is not None


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_the_same_whatever_carries_it(address: IPv4Address) -> None:
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        assert why_blocked(IPv6Address(int(IPv6Address(prefix)) + int(address))) == why_blocked(address)
