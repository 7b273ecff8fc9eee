"""Where a request comes from, and which network lets it in."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmgate.daemon.auth.ip_whitelist import Whitelist, client_address
from llmgate.daemon.store import whitelist
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.types import utc_now

LOCAL = ipaddress.ip_network("127.0.0.0/8")
PROXIES = [LOCAL, ipaddress.ip_network("10.0.0.0/24"), ipaddress.ip_network("2001:db8::/64")]


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _reference_parse(text: str) -> str | None:
    """An address, read by the C library and not by ipaddress."""
    bare = _without_port(text.strip(" \t"))
    if _is_v4(bare):
        return bare
    try:
        packed = socket.inet_pton(socket.AF_INET6, bare)
    except (OSError, ValueError):
        return None
    if packed[:12] == b"\0" * 10 + b"\xff\xff":
        return ".".join(str(byte) for byte in packed[12:])
    return str(ipaddress.IPv6Address(packed))


def _without_port(text: str) -> str:
    """What stands before a port or in brackets; nonsense stays nonsense."""
    if text.startswith("["):
        inside, bracket, port = text[1:].partition("]")
        return inside if bracket and (not port or (port[0] == ":" and _is_port(port[1:]))) else text
    host, _, port = text.partition(":")
    return host if _is_port(port) and _is_v4(host) else text


def _is_port(text: str) -> bool:
    return 1 <= len(text) <= 5 and text.isascii() and text.isdecimal()


def _is_v4(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(part in {str(number) for number in range(256)} for part in parts)


def reference(peer: str, lines: Sequence[str], trusted: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> str:
    """The rule, written as it is explained: cross out from the right while the speaker is a trusted proxy."""
    current = _reference_parse(peer)
    assert current is not None
    hops = [hop for line in lines for hop in line.split(",")]
    for _ in range(16):
        if not hops or not any(ipaddress.ip_address(current) in network for network in trusted):
            return current
        told = _reference_parse(hops.pop())
        if told is None:
            return current
        current = told
    return current


ADDRESSES = st.one_of(
    st.sampled_from(["127.0.0.1", "10.0.0.7", "10.0.1.7", "8.8.8.8", "2001:db8::5", "2001:db8:1::5", "::1"]),
    st.ip_addresses().map(str),
)
HOPS = st.one_of(
    ADDRESSES,
    ADDRESSES.map(lambda address: f"  {address}\t"),
    ADDRESSES.map(lambda address: f"{address}:8080"),
    ADDRESSES.map(lambda address: f"[{address}]"),
    ADDRESSES.map(lambda address: f"[{address}]:443"),
    st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}"),
    st.sampled_from(
        ["", "unknown", "_hidden", "fe80::1%eth0", '"[::1]"', "127.1", "0177.0.0.1", "[::1", "[]", "1.2.3.4:"]
    ),
    st.text(max_size=12).filter(lambda text: "," not in text),
)
LINES = st.lists(st.lists(HOPS, max_size=8).map(",".join), max_size=4)


@settings(max_examples=500)
@given(peer=ADDRESSES, lines=LINES, trusted=st.lists(st.sampled_from(PROXIES), max_size=3))
def test_the_client_is_the_one_that_a_reference_finds(peer: str, lines: list[str], trusted: list[Network]) -> None:
    assert client_address(peer, lines, trusted) == reference(peer, lines, trusted)


@given(lines=LINES)
def test_nobody_is_believed_by_default(lines: list[str]) -> None:
    assert client_address("127.0.0.1", lines, []) == "127.0.0.1"
    assert client_address("8.8.8.8", lines, PROXIES) == "8.8.8.8"


@given(invented=st.lists(HOPS, max_size=6), real=st.ip_addresses().map(str))
def test_what_a_client_invents_changes_nothing(invented: list[str], real: str) -> None:
    found = client_address("127.0.0.1", [",".join([*invented, real])], [LOCAL])
    assert found == _reference_parse(real) or ipaddress.ip_address(real) in LOCAL


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["8.8.8.8"], "8.8.8.8"),
        ("127.0.0.1", ["6.6.6.6, 8.8.8.8"], "8.8.8.8"),
        ("127.0.0.1", ["8.8.8.8, 10.0.0.7"], "8.8.8.8"),
        ("127.0.0.1", ["6.6.6.6", "8.8.8.8, 10.0.0.7"], "8.8.8.8"),
        ("::ffff:127.0.0.1", ["::ffff:8.8.8.8"], "8.8.8.8"),
        ("127.0.0.1", ["8.8.8.8, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["8.8.8.8, fe80::1%eth0"], "127.0.0.1"),
        ("127.0.0.1", ["8.8.8.8:4711"], "8.8.8.8"),
        ("127.0.0.1", ["[2001:4860::8]:443"], "2001:4860::8"),
        ("127.0.0.1", ["8.8.8.8," + "10.0.0.7," * 15 + "10.0.0.7"], "10.0.0.7"),
        ("127.0.0.1", ["8.8.8.8," + "10.0.0.7," * 14 + "10.0.0.7"], "8.8.8.8"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("", ["8.8.8.8"], ""),
    ],
)
def test_chains_as_proxies_write_them(peer: str, lines: list[str], client: str) -> None:
    assert client_address(peer, lines, PROXIES) == client


async def test_the_most_specific_network_decides(database: Database) -> None:
    matcher = Whitelist()
    assert matcher.match("10.1.2.3") is None
    async with database.begin() as tx:
        for cidr in ("10.0.0.0/8", "10.1.2.3", "10.1.0.0/16", "2001:db8::/32", "2001:db8:1::/48"):
            await whitelist.create(tx, cidr=cidr)
        await matcher.reload(tx)

    def matched(address: str) -> str | None:
        entry = matcher.match(address)
        return entry.cidr if entry else None

    assert matched("10.1.2.3") == matched("::ffff:10.1.2.3") == "10.1.2.3/32"
    assert matched("10.1.2.4") == "10.1.0.0/16"
    assert matched("10.2.0.0") == matched("10.255.255.255") == "10.0.0.0/8"
    assert matched("2001:db8:1::1") == "2001:db8:1::/48"
    assert matched("2001:db8:2::1") == "2001:db8::/32"
    for stranger in ("11.0.0.0", "9.255.255.255", "::10.1.2.3", "::1", "", "unix", "10.1.2", "0177.0.0.1"):
        assert matched(stranger) is None


async def test_an_expired_network_lets_nobody_in_and_hides_no_wider_one(database: Database) -> None:
    matcher = Whitelist()
    async with database.begin() as tx:
        wide = await whitelist.create(tx, cidr="10.0.0.0/8", expires_at=utc_now() + timedelta(hours=1))
        await whitelist.create(tx, cidr="10.1.0.0/16", expires_at=utc_now() - timedelta(seconds=1))
        await matcher.reload(tx)
        assert matcher.match("10.1.2.3") == wide
        await whitelist.delete(tx, wide.id)
        assert matcher.match("10.1.2.3") == wide
        await matcher.reload(tx)
    assert matcher.match("10.1.2.3") is None


@given(networks=st.lists(st.ip_addresses(v=4), max_size=5), address=st.ip_addresses(v=4), prefix=st.integers(8, 32))
@settings(max_examples=200)
def test_matching_agrees_with_ipaddress(
    networks: list[ipaddress.IPv4Address], address: ipaddress.IPv4Address, prefix: int
) -> None:
    entries = {}
    for number, start in enumerate([*networks, address]):
        cidr = whitelist.normalise(f"{start}/{min(32, prefix + number)}")
        entries[cidr] = whitelist.WhitelistEntry(cidr, cidr, "", None, None, utc_now())
    matcher = Whitelist()
    matcher.replace(list(entries.values()))
    holding = [ipaddress.ip_network(cidr) for cidr in entries if address in ipaddress.ip_network(cidr)]
    expected = max(holding, key=lambda network: network.prefixlen)
    entry = matcher.match(str(address))
    assert entry is not None
    assert entry.cidr == str(expected)
