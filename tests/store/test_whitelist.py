"""Whitelisted networks."""

from __future__ import annotations

import pytest

from llmgate.daemon.store import whitelist
from llmgate.daemon.store.database import Database
from llmgate.errors import Conflict, InvalidRequest, NotFound


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("10.1.2.3", "10.1.2.3/32"),
        (" 10.1.2.3/16 ", "10.1.0.0/16"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("2001:db8:1::/48", "2001:db8:1::/48"),
        ("fe80::/16", "fe80::/16"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("::ffff:10.1.2.0/120", "10.1.2.0/24"),
    ],
)
def test_a_network_has_one_spelling(written: str, meant: str) -> None:
    assert whitelist.normalise(written) == meant


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0/0", "10.0.0.0/7", "128.0.0.0/1", "::/0", "2000::/15", "::ffff:0:0/96"),
        *("", "*", "localhost", "10.1.2", "127.1", "0177.0.0.1", "0x7f.0.0.1", "2130706433", "10.1.2.3.4", "256.1.1.1"),
        *("10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/255.0.0.0", "10.0.0.0/0.255.255.255", "10.0.0.0/08x", "10.0.0.0/"),
        *("fe80::1%eth0", "fe80::1%eth0/64", "[::1]", "::1/129", "1::2::3", "10.0.0.0/8/8", "10.0.0.1-10.0.0.9"),
        *(
            "10.0.0.0\n/8",
            "\0",
            "\N{FULLWIDTH DIGIT ONE}0.0.0.1",
            "http://10.0.0.1",
            "10.0.0.1:80",
            "10.0.0.1,10.0.0.2",
            "9" * 10_000,
        ),
    ],
)
def test_anything_else_or_wider_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        whitelist.normalise(text)
    assert caught.value.param == "cidr"
    assert len(caught.value.text()) < 200


async def test_entries_can_be_added_changed_and_removed(database: Database) -> None:
    async with database.begin() as tx:
        office = await whitelist.create(tx, cidr="10.1.2.3/16", label="Office", level=2)
        lab = await whitelist.create(tx, cidr="2001:db8::/32")
        assert await whitelist.get(tx, office.id) == office
        assert await whitelist.all(tx) == await whitelist.page(tx) == [office, lab]
        assert await whitelist.page(tx, after=office.id, limit=1) == [lab]
        changed = await whitelist.update(tx, office.id, cidr="10.2.0.1/24", level=None)
        assert (changed.cidr, changed.level, changed.label) == ("10.2.0.0/24", None, "Office")
        await whitelist.delete(tx, lab.id)
        assert await whitelist.all(tx) == [changed]
        for attempt in (
            whitelist.get(tx, lab.id),
            whitelist.delete(tx, lab.id),
            whitelist.update(tx, lab.id, level=1),
            whitelist.update(tx, lab.id),
        ):
            with pytest.raises(NotFound):
                await attempt
        for refused in (
            whitelist.update(tx, office.id, cidr="0.0.0.0/0"),
            whitelist.update(tx, office.id, level=9),
            whitelist.update(tx, office.id, label="\n"),
        ):
            with pytest.raises(InvalidRequest):
                await refused


async def test_a_network_is_listed_once_however_it_is_written(database: Database) -> None:
    async with database.begin() as tx:
        await whitelist.create(tx, cidr="10.1.0.0/16")
        other = await whitelist.create(tx, cidr="10.2.0.0/16")
    with pytest.raises(Conflict, match=r"10\.1\.0\.0/16"):
        async with database.begin() as tx:
            await whitelist.create(tx, cidr="10.1.200.9/16")
    with pytest.raises(Conflict):
        async with database.begin() as tx:
            await whitelist.update(tx, other.id, cidr="::ffff:10.1.0.0/112")
