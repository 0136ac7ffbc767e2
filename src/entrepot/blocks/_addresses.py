"""Which addresses a webhook may not call: everything that is not the public internet, and metadata services.

Ranges: the IANA registries of special-purpose addresses (RFC 6890 and its updates). They are written out here, because
what `ipaddress` calls global differs between Python versions, and does not look into addresses inside addresses.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias

__all__ = ["Address", "parse_address", "why_blocked"]

Address: TypeAlias = IPv4Address | IPv6Address

_BLOCKED_V4: Final = tuple(
    (IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-private"),  # holds a cloud's metadata service too: 100.100.100.200
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "metadata"),  # Azure's host agent: the one such service on a public address
        ("169.254.0.0/16", "link-local or metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved or metadata"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved or broadcast"),
    )
)

_PUBLIC_V6: Final = IPv6Network("2000::/3")  # all that was ever given out; what lies outside is blocked unnamed, too
_BLOCKED_V6: Final = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("2001::/23", "protocol-reserved"),  # Teredo and other tunnels, which carry IPv4 addresses
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "tunnel"),  # 6to4 carries any IPv4 address, private ones too
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private or metadata"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
    )
)

# These carry an IPv4 address in their last 32 bits that is reached in the end: it is that one which is judged.
_CARRIES_V4: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))


def parse_address(text: str) -> Address:
    """Return an address as a resolver writes it; a zone (`fe80::1%eth0`) is left out.

    Raises:
        ValueError: If it is no address.
    """
    return ip_address(text.partition("%")[0])


def why_blocked(address: Address) -> str | None:
    """Return what kind of address this is if a webhook may not call it ("private", "loopback", ...), else None."""
    if isinstance(address, IPv4Address):
        return next((why for network, why in _BLOCKED_V4 if address in network), None)
    if any(address in network for network in _CARRIES_V4):
        return why_blocked(IPv4Address(int(address) & 0xFFFFFFFF))
    named = next((why for network, why in _BLOCKED_V6 if address in network), None)
    return named or (None if address in _PUBLIC_V6 else "reserved")
