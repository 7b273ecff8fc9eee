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


class Whitelist:
    """The whitelisted networks, held in memory."""

    def __init__(self) -> None:
        # (IP version, prefix length) → network as a number → entry; the longest prefixes first
        self._networks: dict[tuple[int, int], dict[int, WhitelistEntry]] = {}

    async def reload(self, tx: AsyncConnection) -> None:
        """Read the networks from the database again."""
        self.replace(await whitelist.all(tx))

    def replace(self, entries: Iterable[WhitelistEntry]) -> None:
        networks: dict[tuple[int, int], dict[int, WhitelistEntry]] = {}
        for entry in entries:
            network = ipaddress.ip_network(entry.cidr)
            shift = network.max_prefixlen - network.prefixlen
            group = networks.setdefault((network.version, network.prefixlen), {})
            group[int(network.network_address) >> shift] = entry
        self._networks = dict(sorted(networks.items(), reverse=True))

    def match(self, address: str) -> WhitelistEntry | None:
        """The most specific network that holds the address and has not expired."""
        parsed = _parse(address) if self._networks else None
        if parsed is None:
            return None
        number = int(parsed)
        for (version, prefix), group in self._networks.items():
            if version != parsed.version:
                continue
            entry = group.get(number >> parsed.max_prefixlen - prefix)
            if entry is not None and (entry.expires_at is None or utc_now() < entry.expires_at):
                return entry
        return None
