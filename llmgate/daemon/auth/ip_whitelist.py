"""Where a request comes from, and whether that place needs no credential."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from sqlalchemy.ext.asyncio import AsyncConnection

from llmgate.daemon.store import whitelist
from llmgate.daemon.store.types import utc_now
from llmgate.daemon.store.whitelist import WhitelistEntry

_MOST_HOPS = 16
_CLIENT_BITS = 64
"""The prefix of what one customer, or one network of machines, gets of IPv6."""
_WITH_PORT = re.compile(r"\[([0-9a-fA-F:.]+)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}", re.ASCII)


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """The address that a request really comes from.

    ``peer`` is the other end of the connection, ``forwarded_for`` the lines of X-Forwarded-For in their order. Each
    proxy appends whom it heard from, so the list is read from the right and only while the last speaker is trusted;
    everything to the left of an untrusted hop may be invented. At most 16 hops, and none behind an unreadable one.
    """
    address = _parse(peer.partition("%")[0])
    if address is None:
        return peer
    if trusted and forwarded_for:
        hops = ",".join(forwarded_for).rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]
        for hop in reversed(hops):
            before = _parse(hop)
            if before is None or not any(address in network for network in trusted):
                break
            address = before
    return str(address)


@lru_cache(maxsize=4096)
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it, also with a port; IPv4 inside IPv6 is IPv4. None for anything else."""
    text = text.strip(" \t")
    match = _WITH_PORT.fullmatch(text)
    if match:
        text = match[1] or match[2]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def is_within(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether the address belongs to one of the networks. One that cannot be read belongs to none."""
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def normalised(address: str) -> str | None:
    """An address as it is compared: IPv4 inside IPv6 is IPv4. None when it is none."""
    parsed = _parse(address)
    return None if parsed is None else str(parsed)


@lru_cache(maxsize=4096)
def one_client(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 one, from which one machine may choose as many
    addresses as it likes. This machine stands for itself, and so does what is no address."""
    parsed = _parse(address)
    if parsed is None:
        return address
    if isinstance(parsed, IPv4Address) or parsed.is_loopback:
        return str(parsed)
    return str(IPv6Network((parsed, _CLIENT_BITS), strict=False))


def client_meant(text: str) -> str | None:
    """As ``one_client`` writes it, whom somebody means by an address or by a /64. None when it is neither."""
    address = normalised(text.removesuffix(f"/{_CLIENT_BITS}"))
    if address is None or (address != normalised(text) and ":" not in address):
        return None
    return one_client(address)


class Whitelist:
    """The whitelisted networks, held in memory."""

    def __init__(self) -> None:
        # (IP version, prefix length) → network as a number → entry; the longest prefixes first
        self._networks: dict[tuple[int, int], dict[int, WhitelistEntry]] = {}
        # client (see ``one_client``) → entries of networks that are smaller than that
        self._inside: dict[str, list[WhitelistEntry]] = {}

    async def reload(self, tx: AsyncConnection) -> None:
        """Read the networks from the database again."""
        self.replace(await whitelist.all(tx))

    def replace(self, entries: Iterable[WhitelistEntry]) -> None:
        networks: dict[tuple[int, int], dict[int, WhitelistEntry]] = {}
        inside: dict[str, list[WhitelistEntry]] = {}
        for entry in entries:
            network = ipaddress.ip_network(entry.cidr)
            shift = network.max_prefixlen - network.prefixlen
            group = networks.setdefault((network.version, network.prefixlen), {})
            group[int(network.network_address) >> shift] = entry
            if isinstance(network, IPv6Network) and network.prefixlen > _CLIENT_BITS:
                inside.setdefault(one_client(str(network.network_address)), []).append(entry)
        self._networks = dict(sorted(networks.items(), reverse=True))
        self._inside = inside

    def match(self, address: str) -> WhitelistEntry | None:
        """The most specific network that holds the address and has not expired."""
        parsed = _parse(address) if self._networks else None
        return None if parsed is None else self._holder(parsed, parsed.max_prefixlen)

    def label(self, client: str) -> str:
        """What a client, as ``one_client`` writes it, is called; empty when it has no name.

        Of a /64 it is the label of what holds all of it, or else of the only one that is for a part of it.
        """
        try:
            network = ipaddress.ip_network(client)
        except ValueError:
            return ""
        entry = self._holder(network.network_address, network.prefixlen)
        if entry is not None:
            return entry.label
        labels = {one.label for one in self._inside.get(client, ()) if _is_in_force(one)}
        return labels.pop() if len(labels) == 1 else ""

    def _holder(self, address: IPv4Address | IPv6Address, longest: int) -> WhitelistEntry | None:
        """The most specific network that holds the address, has not expired, and whose prefix is not longer."""
        number = int(address)
        for (version, prefix), group in self._networks.items():
            if version != address.version or prefix > longest:
                continue
            entry = group.get(number >> address.max_prefixlen - prefix)
            if entry is not None and _is_in_force(entry):
                return entry
        return None


def _is_in_force(entry: WhitelistEntry) -> bool:
    return entry.expires_at is None or utc_now() < entry.expires_at
