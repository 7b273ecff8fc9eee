"""From headers to a principal: every carrier, every way to be refused, the memory for outages."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from llmgate.daemon.auth import api_keys, credentials, registration
from llmgate.daemon.auth.api_keys import NewKey
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.ip_whitelist import Whitelist
from llmgate.daemon.auth.principals import Principal, PrincipalKind, Role
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.auth.sessions import Sessions
from llmgate.daemon.store import keys, tokens, users
from llmgate.daemon.store import whitelist as networks
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.keys import KeyChanges
from llmgate.daemon.store.types import metadata, utc_now
from llmgate.daemon.store.users import User
from llmgate.errors import AuthenticationFailed, PermissionDenied, StoreUnavailable
from tests.auth.conftest import PASSWORD, Clock

OFFICE = "10.1.2.3"
STRANGER = "8.8.8.8"


@pytest.fixture
async def key(database: Database, secret: ServerSecret) -> NewKey:
    """A key named ``ci`` that belongs to nobody."""
    return await _make_key(database, secret, "ci")


@pytest.fixture(autouse=True)
async def office(database: Database, whitelist: Whitelist) -> None:
    async with database.begin() as tx:
        await networks.create(tx, cidr="10.1.0.0/16", label="Office")
        await whitelist.reload(tx)


async def _make_key(
    database: Database, secret: ServerSecret, name: str, *, user_id: str | None = None, **changes: object
) -> NewKey:
    new = api_keys.generate(secret)
    async with database.begin() as tx:
        await keys.create(
            tx,
            key_id=new.id,
            digest=new.digest,
            last4=new.last4,
            name=name,
            user_id=user_id,
            **changes,  # type: ignore[arg-type]  # forwarded as they are
        )
    return new


async def _ask(
    authenticator: Authenticator, *headers: tuple[bytes, str], address: str = STRANGER, method: str = "POST"
) -> Principal:
    encoded = [(name, value.encode()) for name, value in headers]
    return await authenticator.authenticate(encoded, address=address, method=method)


def _bearer(text: str) -> tuple[bytes, str]:
    return b"authorization", f"Bearer {text}"


async def _refused(authenticator: Authenticator, *headers: tuple[bytes, str], address: str = STRANGER) -> str:
    with pytest.raises(AuthenticationFailed) as caught:
        await _ask(authenticator, *headers, address=address)
    return caught.value.text()


async def test_a_key_is_the_same_principal_in_every_carrier(authenticator: Authenticator, key: NewKey) -> None:
    found = {await _ask(authenticator, header) for header in (_bearer(key.text), (b"x-api-key", key.text))}
    (principal,) = found
    assert (principal.kind, principal.id, principal.name) == (PrincipalKind.KEY, key.id, "ci")
    assert (principal.level, principal.role, principal.models, principal.user_id) == (2, Role.USER, None, None)
    assert principal.owner == f"key:{key.id}"


async def test_a_session_is_the_same_principal_in_every_carrier(
    authenticator: Authenticator, sessions: Sessions, ann: User
) -> None:
    token = (await sessions.login("ann", PASSWORD, address=STRANGER, client="")).access_token
    headers = (_bearer(token), (b"x-api-key", token), (b"cookie", f"llmgate={token}"))
    (principal,) = {await _ask(authenticator, header, method="GET") for header in headers}
    assert (principal.kind, principal.id, principal.level) == (PrincipalKind.SESSION, ann.id, 3)


async def test_a_keys_own_level_models_weight_and_role_count(
    authenticator: Authenticator, database: Database, secret: ServerSecret
) -> None:
    new = await _make_key(database, secret, "batch", level=5, models=["a"], weight=2.0, role=Role.ADMIN)
    principal = await _ask(authenticator, _bearer(new.text))
    assert (principal.level, principal.weight, principal.role) == (5, 2.0, Role.ADMIN)
    assert principal.may_use("a")
    assert not principal.may_use("b")


async def test_a_whitelisted_address_needs_no_credential(authenticator: Authenticator) -> None:
    for headers in ([], [_bearer("ollama")], [(b"x-api-key", "none"), _bearer("EMPTY")]):
        principal = await _ask(authenticator, *headers, address=OFFICE)
        assert (principal.kind, principal.id, principal.name) == (PrincipalKind.ADDRESS, OFFICE, "Office")
        assert (principal.level, principal.role) == (1, Role.USER)
        await _refused(authenticator, *headers)


async def test_the_addresses_of_one_ipv6_network_are_one_principal(
    authenticator: Authenticator, database: Database, whitelist: Whitelist
) -> None:
    async with database.begin() as tx:
        await networks.create(tx, cidr="2001:db8:7::/48")
        await networks.create(tx, cidr="2001:db8:7:1::5/128", label="Desk", level=4)
        await networks.create(tx, cidr="::1/128")
        await whitelist.reload(tx)
    one, other = [await _ask(authenticator, address=f"2001:db8:7:1:{part}::1") for part in ("0", "ffff")]
    assert one == other
    assert (one.owner, one.name) == ("address:2001:db8:7:1::/64", "2001:db8:7:1::/64")
    desk = await _ask(authenticator, address="2001:db8:7:1::5")
    assert (desk.owner, desk.name, desk.level) == (one.owner, "Desk", 4)
    assert (await _ask(authenticator, address="2001:db8:7:2::1")).owner == "address:2001:db8:7:2::/64"
    assert (await _ask(authenticator, address="::1")).owner == "address:::1"


async def test_every_bad_credential_has_the_same_answer_also_from_a_whitelisted_address(
    authenticator: Authenticator, database: Database, secret: ServerSecret, key: NewKey, sessions: Sessions, ann: User
) -> None:
    past = utc_now() - timedelta(seconds=1)
    expired = await _make_key(database, secret, "expired", expires_at=past)
    made: dict[str, NewKey] = {
        name: await _make_key(database, secret, name) for name in ("revoked", "disabled", "gone")
    }
    orphan = await _make_key(database, secret, "orphan", user_id=ann.id)
    session = await sessions.login("ann", PASSWORD, address=STRANGER, client="")
    async with database.begin() as tx:
        await keys.revoke(tx, made["revoked"].id)
        await keys.update(tx, made["disabled"].id, disabled=True)
        await keys.delete(tx, made["gone"].id)
        await users.update(tx, ann.id, disabled=True)
    bad = [new.text for new in (expired, *made.values(), orphan, api_keys.generate(ServerSecret(bytes(32))))]
    bad += [key.text[:-1], key.text + "x", key.text.lower(), key.text.swapcase(), key.digest, key.id, "", " ", "llmg_"]
    bad += [session.access_token, session.refresh_token, "sk-123", "x" * 10_000, "\0", "é" * 30, "a.b.c"]
    answers = set()
    for text in bad:
        for address in (STRANGER, OFFICE):
            answers.add(await _refused(authenticator, _bearer(text), address=address))
            answers.add(await _refused(authenticator, (b"x-api-key", text), address=address))
    for headers in ([_bearer(key.text), (b"x-api-key", "x")], [(b"authorization", f"Basic {key.text}")]):
        answers.add(await _refused(authenticator, *headers, address=OFFICE))
    answers.add(await _refused(authenticator, (b"cookie", "llmgate=x"), address=OFFICE))
    answers.add(await _refused(authenticator))
    assert answers == {credentials.refused().text()}


async def test_a_key_is_never_more_than_its_user(
    authenticator: Authenticator, database: Database, secret: ServerSecret, ann: User
) -> None:
    new = await _make_key(database, secret, "own", user_id=ann.id, role=Role.ADMIN)
    assert (await _ask(authenticator, _bearer(new.text))).role is Role.USER
    async with database.begin() as tx:
        await users.update(tx, ann.id, role=Role.ADMIN)
    authenticator.invalidate()
    assert (await _ask(authenticator, _bearer(new.text))).role is Role.ADMIN


async def test_a_cookie_changes_nothing_on_behalf_of_another_site(
    authenticator: Authenticator, sessions: Sessions, ann: User
) -> None:
    token = (await sessions.login("ann", PASSWORD, address=STRANGER, client="")).access_token
    cookie = (b"cookie", f"llmgate={token}")
    for foreign in ([], [(b"origin", "https://evil.example")], [(b"sec-fetch-site", "cross-site")]):
        with pytest.raises(PermissionDenied):
            await _ask(authenticator, cookie, *foreign)
        assert (await _ask(authenticator, cookie, *foreign, method="GET")).id == ann.id
        assert (await _ask(authenticator, _bearer(token), *foreign)).id == ann.id
    for own in ((b"sec-fetch-site", "same-origin"), (b"origin", "http://127.0.0.1:11435")):
        assert (await _ask(authenticator, cookie, own)).id == ann.id


@pytest.mark.parametrize("change", [{"disabled": True}, {"expires_at": utc_now()}])
async def test_a_change_counts_at_once_when_announced_and_after_five_seconds_anyway(
    authenticator: Authenticator, database: Database, key: NewKey, clock: Clock, change: KeyChanges
) -> None:
    await _ask(authenticator, _bearer(key.text))
    async with database.begin() as tx:
        before = await keys.get(tx, key.id)
        await keys.update(tx, key.id, **change)
    clock.advance(3.9)
    await _ask(authenticator, _bearer(key.text))
    clock.advance(0.1)
    await _refused(authenticator, _bearer(key.text))
    async with database.begin() as tx:
        await keys.update(tx, key.id, disabled=before.disabled, expires_at=before.expires_at)
    await _ask(authenticator, _bearer(key.text))
    async with database.begin() as tx:
        await keys.revoke(tx, key.id)
    authenticator.invalidate()
    await _refused(authenticator, _bearer(key.text))


async def test_one_request_asks_again_while_the_others_go_on(
    authenticator: Authenticator, database: Database, key: NewKey, clock: Clock
) -> None:
    await _ask(authenticator, _bearer(key.text))
    async with database.begin() as tx:
        await keys.revoke(tx, key.id)
    clock.advance(4.0)
    first = asyncio.create_task(_refused(authenticator, _bearer(key.text)))
    await asyncio.sleep(0)
    await _ask(authenticator, _bearer(key.text))
    await first
    await _refused(authenticator, _bearer(key.text))


async def test_what_was_read_before_a_revocation_is_not_remembered_after_it(
    authenticator: Authenticator, database: Database, key: NewKey
) -> None:
    asked = asyncio.create_task(_ask(authenticator, _bearer(key.text)))
    while not asked.done():
        authenticator.invalidate()
        await asyncio.sleep(0)
    async with database.begin() as tx:
        await keys.revoke(tx, key.id)
    await _refused(authenticator, _bearer(key.text))


async def test_in_an_outage_whoever_was_seen_within_a_minute_is_served(
    authenticator: Authenticator, database: Database, secret: ServerSecret, key: NewKey, clock: Clock
) -> None:
    other = await _make_key(database, secret, "other")
    await _ask(authenticator, _bearer(key.text))
    await database.close()
    for _ in range(59):
        clock.advance(1)
        assert (await _ask(authenticator, _bearer(key.text))).id == key.id
    assert (await _ask(authenticator, address=OFFICE)).id == OFFICE
    with pytest.raises(StoreUnavailable):
        await _ask(authenticator, _bearer(other.text))
    clock.advance(1)
    with pytest.raises(StoreUnavailable):
        await _ask(authenticator, _bearer(key.text))
    await database.connect()
    for text in (key.text, other.text):
        await _ask(authenticator, _bearer(text))


async def test_after_an_outage_what_was_revoked_meanwhile_is_refused(
    authenticator: Authenticator, database: Database, key: NewKey, clock: Clock
) -> None:
    await _ask(authenticator, _bearer(key.text))
    await database.close()
    clock.advance(10)
    await _ask(authenticator, _bearer(key.text))
    await database.connect()
    async with database.begin() as tx:
        await keys.revoke(tx, key.id)
    clock.advance(2)
    await _refused(authenticator, _bearer(key.text))
    await database.close()
    with pytest.raises(StoreUnavailable):
        await _ask(authenticator, _bearer(key.text))
    await database.connect()


async def test_nobody_is_remembered_longer_than_the_credential_lives(
    authenticator: Authenticator, database: Database, secret: ServerSecret, clock: Clock
) -> None:
    short = await _make_key(database, secret, "short", expires_at=utc_now() + timedelta(seconds=3))
    await _ask(authenticator, _bearer(short.text))
    await database.close()
    clock.advance(3)
    with pytest.raises(StoreUnavailable):
        await _ask(authenticator, _bearer(short.text))
    await database.connect()


async def test_the_use_of_keys_is_reported_once(authenticator: Authenticator, key: NewKey) -> None:
    before = utc_now()
    for _ in range(3):
        await _ask(authenticator, _bearer(key.text))
    await _ask(authenticator, address=OFFICE)
    used = authenticator.used()
    assert list(used) == [key.id]
    assert before <= used[key.id] <= utc_now()
    assert authenticator.used() == {}


async def test_the_memory_is_bounded_and_forgets_the_least_used(
    authenticator: Authenticator, database: Database, secret: ServerSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmgate.daemon.auth.authenticator._MOST_CACHED", 3)
    made = [await _make_key(database, secret, f"key-{number}") for number in range(4)]
    for new in (made[0], made[1], made[2], made[0], made[3]):
        await _ask(authenticator, _bearer(new.text))
    await database.close()
    for new in (made[0], made[2], made[3]):
        await _ask(authenticator, _bearer(new.text))
    with pytest.raises(StoreUnavailable):
        await _ask(authenticator, _bearer(made[1].text))
    await database.connect()


async def test_nothing_that_was_issued_stands_in_the_database(
    tmp_path: Path, database: Database, secret: ServerSecret, sessions: Sessions, ann: User
) -> None:
    made = [await _make_key(database, secret, f"key-{number}") for number in range(20)]
    login = await sessions.login("ann", PASSWORD, address=STRANGER, client="")
    token, digest = registration.new_token(secret)
    async with database.begin() as tx:
        await tokens.create(tx, digest=digest)
        content = repr([(await tx.execute(table.select())).all() for table in metadata.sorted_tables]).encode()
    content += _files(tmp_path)
    issued = [PASSWORD, login.access_token, login.refresh_token, login.refresh_token[-64:], token, token[5:37]]
    for new in made:
        assert new.id.encode() in content
        issued += [new.text, new.text[16:48]]
    assert [text for text in issued if text.encode() in content] == []


def _files(directory: Path) -> bytes:
    """What SQLite has on disk; nothing where PostgreSQL is asked."""
    return b"".join(file.read_bytes() for file in directory.glob("llmgate.db*"))
