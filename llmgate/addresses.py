"""Which addresses an upstream may have.

Private networks and the machine itself are where model servers live. But whoever can name an upstream must not make the
gateway speak to what answers only because the gateway is where it is: link-local addresses, where clouds hand out a
machine's credentials, and those that mean no single machine.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_FORBIDDEN: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this machine, on some systems
        "169.254.0.0/16",  # link-local; in clouds the metadata service
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "100.100.100.200/32",  # metadata: Alibaba
        "168.63.129.16/32",  # the host of a machine in Azure
        "192.0.0.192/32",  # metadata: Oracle
        "::/128",
        "fe80::/10",  # link-local
        "fec0::/10",  # what link-local was once
        "ff00::/8",  # multicast
        "fd00:ec2::/32",  # metadata: AWS
        "fd20:ce::/32",  # metadata: Google
    )
)
_WITH_IPV4: Final = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),
    (ipaddress.IPv6Network("::ffff:0:0:0/96"), 0),
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("::/96"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
    (ipaddress.IPv6Network("2001::/32"), 64),  # Teredo: its server
)
"""IPv6 networks whose addresses hold one of IPv4, and how many bits stand behind it."""
_OWN_NAT64: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
"""For the NAT64 of a network of one's own (RFC 8215), whose prefix has any length in here that RFC 6052 knows."""
_TEREDO: Final = ipaddress.IPv6Network("2001::/32")
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""Before the IPv4 address of an interface of ISATAP, in whatever network."""
_MOST_32: Final = 0xFFFF_FFFF
_METADATA_NAMES: Final = frozenset(
    {
        "instance-data",
        "instance-data.ec2.internal",
        "metadata",
        "metadata.azure.com",
        "metadata.azure.internal",
        "metadata.goog",
        "metadata.google.internal",
        "metadata.internal",
        "metadata.tencentyun.com",
    }
)
_NUMBER: Final = re.compile(r"0[xX][0-9A-Fa-f]*|\d+", re.ASCII)


def is_forbidden(address: str) -> bool:
    """Whether no upstream may have this address, which is one as ``getaddrinfo`` tells it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True  # not an address that we know how to judge
    return any(_is_forbidden(one) for one in (found, *_inside(found)))


def fault_of_host(host: str) -> str | None:
    """Why this host, as it stands in a URL without its port, cannot be an upstream's; None if it can.

    Of a name, what it means is judged when it is connected to.
    """
    plain = host.removeprefix("[").removesuffix("]")
    if ":" in plain:
        return "must not be a link-local, metadata or multicast address" if is_forbidden(plain) else None
    name = plain.lower().removesuffix(".")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        # Programs differ in what 127.1, 0177.0.0.1 and 2130706433 mean.
        try:
            if str(ipaddress.IPv4Address(name)) != plain:
                return "must have its address written as 127.0.0.1 is"
        except ValueError:
            return "must have its address written as 127.0.0.1 is"
        if ipaddress.IPv4Address(name) in _FORBIDDEN[0]:
            return "must name a machine: 127.0.0.1 is this one"
        return "must not be a link-local, metadata or multicast address" if is_forbidden(name) else None
    return "must not be a name of a metadata service" if name in _METADATA_NAMES else None


def is_own(url: str, host: str, port: int, public_url: str) -> bool:
    """Whether this URL leads to the gateway itself, which listens on ``host`` and ``port`` known as ``public_url``."""
    parts = urlsplit(url)
    if public_url and url.rstrip("/").lower() == public_url.rstrip("/").lower():
        return True
    if not port or (parts.port or (443 if parts.scheme == "https" else 80)) != port:
        return False
    there, here = _folded(parts.hostname or ""), _folded(host)
    return there == here or (_is_here(there) and (_is_here(here) or here in ("0.0.0.0", "::")))  # noqa: S104 - compared


def _folded(host: str) -> str:
    return host.lower().removesuffix(".")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_forbidden(address: Address) -> bool:
    return any(address.version == network.version and address in network for network in _FORBIDDEN)


def _inside(address: Address) -> list[Address]:
    """The addresses of IPv4 that one of IPv6 stands for, or may stand for."""
    if isinstance(address, ipaddress.IPv4Address) or address.is_loopback:
        return []
    number = int(address)
    inside = [number >> bits & _MOST_32 for network, bits in _WITH_IPV4 if address in network]
    if address in _OWN_NAT64:
        inside += _behind_any_prefix(number)
    if address in _TEREDO:
        inside.append(~number & _MOST_32)
    if number >> 32 & _MOST_32 in _ISATAP:
        inside.append(number & _MOST_32)
    return [ipaddress.IPv4Address(one) for one in inside]


def _behind_any_prefix(number: int) -> list[int]:
    """The addresses of IPv4 behind prefixes of 96, 64, 56 and 48 bits; without the bits 64 to 71 but for the first
    (RFC 6052, 2.2).

    How long the prefix is, only the network knows. What begins with 0 is the empty part of an address that stands
    elsewhere, unless there is none.
    """
    without = number >> 64 << 56 | number & (1 << 56) - 1
    found = [number & _MOST_32, *(without >> bits & _MOST_32 for bits in (24, 32, 40))]
    return [one for one in found if one >> 24] or [0]
