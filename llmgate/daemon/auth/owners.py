"""What people call those whom requests belong to, and whom they mean by a name.

The queue knows owners as ``key:aB3dE5gH7j`` only, which is all that it needs. Their names are looked up where a list is
shown, all those of the list at once, and are remembered for a moment: a screen asks for the same list every second.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from llmgate.daemon.auth.ip_whitelist import Whitelist, client_meant, one_client
from llmgate.daemon.auth.principals import PrincipalKind, readable
from llmgate.daemon.store import keys, users
from llmgate.daemon.store.database import Database
from llmgate.errors import NotFound, StoreUnavailable

FRESH_SECONDS: Final = 10.0
"""So long a name is taken to be still the same."""
MOST: Final = 4096
"""Names that are remembered."""
AT_ONCE: Final = 500
"""Ids in one question: databases take only so many parameters."""
PATIENCE: Final = 1.0
"""Longest wait for names: a list without them is better than none."""
PAUSE_SECONDS: Final = 5.0
"""So long the database is not asked again after it has failed to answer."""


class Owners:
    """See the module. ``clock`` counts seconds."""

    def __init__(
        self, database: Database, whitelist: Whitelist, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._whitelist = whitelist
        self._clock = clock
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """By owner the name, and until when it is fresh; those that were looked up last are the last."""
        self._asking = asyncio.Lock()
        self._not_before = float("-inf")

    async def names(self, owners: Iterable[str]) -> dict[str, str]:
        """Owner → name: ``ann`` for a session of Ann's, ``ann/editor`` for a key of hers, ``editor`` for a key that is
        no person's, the label of the whitelist or else the address (of IPv6 the /64) for an address.

        Who is not known any more is called like the owner; so is everybody who was never looked up while the database
        does not answer. It never raises for that.
        """
        wanted = set(owners)
        found = {owner: name for owner in wanted if (name := self._name_of_address(owner)) is not None}
        others = wanted - found.keys()
        if not self._stale(others):
            found |= self._remembered(others)
        else:
            async with self._asking:  # of several who look at the same list one asks
                found |= self._remembered(others) | await self._ask(self._stale(others))
        return {owner: found.get(owner, owner) for owner in wanted}

    async def called(self, name: str) -> frozenset[str]:
        """Whom somebody means by this: an owner as it is written in lists, the name or id of a key or a user,
        ``ann/editor``, an address. Who names a user means also the keys of that user; who names nobody gets nobody.

        Raises StoreUnavailable: nobody can tell then who is meant.
        """
        kind, colon, owner_id = name.partition(":")
        if colon and kind == PrincipalKind.ADDRESS:
            return frozenset((f"{kind}:{one_client(owner_id)}",))
        if colon and kind in set(PrincipalKind):
            return frozenset((name,))
        if (client := client_meant(name)) is not None:
            return frozenset((f"{PrincipalKind.ADDRESS}:{client}",))
        person, slash, key = name.rpartition("/")
        async with self._database.read() as tx:
            try:
                user_id = (await users.resolve(tx, person if slash else name)).id
            except NotFound:
                user_id = None
            if slash:
                key_ids = await keys.ids(tx, key, user_id=user_id) if user_id else []
                return frozenset(f"{PrincipalKind.KEY}:{key_id}" for key_id in key_ids)
            key_ids = await keys.ids(tx, name)
            if user_id:
                key_ids += await keys.ids(tx, user_id=user_id)
        found = {f"{PrincipalKind.KEY}:{key_id}" for key_id in key_ids}
        return frozenset(found | {f"{PrincipalKind.SESSION}:{user_id}"} if user_id else found)

    def _name_of_address(self, owner: str) -> str | None:
        kind, _, client = owner.partition(":")
        return (self._whitelist.label(client) or client) if kind == PrincipalKind.ADDRESS else None

    def _stale(self, owners: Iterable[str]) -> list[str]:
        now = self._clock()
        if now < self._not_before:
            return []
        return [owner for owner in owners if owner not in self._known or self._known[owner][1] <= now]

    def _remembered(self, owners: Iterable[str]) -> dict[str, str]:
        return {owner: self._known[owner][0] for owner in owners if owner in self._known}

    async def _ask(self, owners: Sequence[str]) -> dict[str, str]:
        """What the database knows of these; nothing when it does not answer."""
        if not owners:
            return {}
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._look_up(owners)
        except (StoreUnavailable, TimeoutError):
            self._not_before = self._clock() + PAUSE_SECONDS
            return {}
        until = self._clock() + FRESH_SECONDS
        names = {owner: found.get(owner, owner) for owner in owners}
        for owner, name in names.items():
            self._known[owner] = (name, until)
            self._known.move_to_end(owner)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return names

    async def _look_up(self, owners: Sequence[str]) -> dict[str, str]:
        """Owner → name, of those that there are."""
        found: dict[str, str] = {}
        async with self._database.read() as tx:
            for some in _ids(owners, PrincipalKind.KEY):
                named = await keys.names(tx, some)
                found |= {f"{PrincipalKind.KEY}:{key_id}": readable(*both) for key_id, both in named.items()}
            for some in _ids(owners, PrincipalKind.SESSION):
                people = await users.names(tx, some)
                found |= {f"{PrincipalKind.SESSION}:{user_id}": name for user_id, name in people.items()}
        return found


def _ids(owners: Iterable[str], kind: PrincipalKind) -> Iterator[set[str]]:
    """The ids of those of this kind, so many at once as one question may name."""
    prefix = f"{kind}:"
    ids = [owner.removeprefix(prefix) for owner in owners if owner.startswith(prefix)]
    for begin in range(0, len(ids), AT_ONCE):
        yield set(ids[begin : begin + AT_ONCE])
