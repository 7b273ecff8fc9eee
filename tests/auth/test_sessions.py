"""Sessions: logging in, refreshing, logging out, and what a thief can do with a token."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from llmgate.config import Settings
from llmgate.daemon.auth import sessions as module
from llmgate.daemon.auth.principals import PrincipalKind, Role
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.auth.sessions import Sessions, Tokens
from llmgate.daemon.auth.throttle import LoginThrottle
from llmgate.daemon.store import activity, users
from llmgate.daemon.store import sessions as store
from llmgate.daemon.store.activity import Actor
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.users import User
from llmgate.errors import AuthenticationFailed, TooManyAttempts
from tests.auth.conftest import PASSWORD, Clock

ACTOR = Actor("session", "1", "ann")


async def _login(sessions: Sessions, name: str = "ann", password: str = PASSWORD) -> Tokens:
    return await sessions.login(name, password, address="10.0.0.1", client="pytest")


async def _refused(sessions: Sessions, tokens: Tokens) -> None:
    with pytest.raises(AuthenticationFailed):
        await sessions.verify(tokens.access_token)
    with pytest.raises(AuthenticationFailed):
        await sessions.refresh(tokens.refresh_token)


async def test_a_login_gives_tokens_for_the_user(sessions: Sessions, ann: User, database: Database) -> None:
    tokens = await _login(sessions, "ANN")
    principal = await sessions.verify(tokens.access_token)
    assert (principal.kind, principal.id, principal.name) == (PrincipalKind.SESSION, ann.id, "ann")
    assert (principal.role, principal.level, principal.user_id) == (Role.USER, 3, ann.id)
    assert principal.session_id == tokens.session_id
    assert tokens.expires_in == 900
    async with database.read() as tx:
        (session,) = await store.of_user(tx, ann.id)
        assert (session.client, session.address) == ("pytest", "10.0.0.1")
        assert (await users.get(tx, ann.id)).last_login_at is not None


async def test_neither_tokens_nor_their_digests_are_shown_or_stored(
    sessions: Sessions, ann: User, database: Database
) -> None:
    tokens = await _login(sessions)
    async with database.read() as tx:
        session = await store.get(tx, tokens.session_id)
    for shown in (repr(tokens), repr(session)):
        assert tokens.access_token not in shown
        assert tokens.refresh_token not in shown
        assert session.refresh_hash not in shown
    assert session.refresh_hash not in (
        tokens.refresh_token,
        tokens.refresh_token.rpartition("_")[2],
        hashlib.sha256(tokens.refresh_token.encode()).hexdigest(),
    )


async def test_a_users_own_level_goes_before_the_setting(sessions: Sessions, ann: User, database: Database) -> None:
    tokens = await _login(sessions)
    async with database.begin() as tx:
        await users.update(tx, ann.id, level=1, role=Role.ADMIN)
    principal = await sessions.verify(tokens.access_token)
    assert (principal.level, principal.role) == (1, Role.ADMIN)


async def test_every_failed_login_has_the_same_answer(sessions: Sessions, ann: User, database: Database) -> None:
    async with database.begin() as tx:
        await users.create(tx, name="nopassword", password_hash=None, role=Role.USER)
        await users.update(tx, ann.id, disabled=True)
    answers = set()
    for name, password in (
        ("ann", PASSWORD),
        ("ann", "wrong"),
        ("nobody", PASSWORD),
        ("nopassword", ""),
        ("", ""),
        ("\0", "\ud800"),
        ("x" * 10_000, "x" * 10_000),
    ):
        with pytest.raises(AuthenticationFailed) as caught:
            await _login(sessions, name, password)
        answers.add(caught.value.text())
    assert len(answers) == 1


async def test_guessing_is_slowed_down_for_known_and_unknown_names(sessions: Sessions, ann: User, clock: Clock) -> None:
    for name in ("ann", "nobody"):
        for _ in range(5):
            with pytest.raises(AuthenticationFailed):
                await _login(sessions, name, "wrong")
        with pytest.raises(TooManyAttempts) as caught:
            await _login(sessions, name)
        assert caught.value.retry_after == pytest.approx(1)
    clock.advance(1)
    await _login(sessions)


async def test_a_refresh_token_is_replaced_by_each_use(sessions: Sessions, ann: User) -> None:
    first = await _login(sessions)
    second = await sessions.refresh(first.refresh_token)
    third = await sessions.refresh(second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert {first.session_id, second.session_id, third.session_id} == {first.session_id}
    assert (await sessions.verify(third.access_token)).id == ann.id


async def test_two_tabs_that_refresh_at_once_both_stay_logged_in(sessions: Sessions, ann: User, clock: Clock) -> None:
    tokens = await _login(sessions)
    for _ in range(3):
        answers = await asyncio.gather(*(sessions.refresh(tokens.refresh_token) for _ in range(6)))
        assert len({answer.refresh_token for answer in answers}) == 1
        tokens = answers[0]
        clock.advance(800)


async def test_an_old_refresh_token_ends_the_session_after_ten_seconds(
    sessions: Sessions, ann: User, clock: Clock
) -> None:
    stolen = await _login(sessions)
    current = await sessions.refresh(stolen.refresh_token)
    clock.advance(10)
    assert (await sessions.refresh(stolen.refresh_token)).refresh_token == current.refresh_token
    clock.advance(0.1)
    with pytest.raises(AuthenticationFailed):
        await sessions.refresh(stolen.refresh_token)
    await _refused(sessions, stolen)
    await _refused(sessions, current)


async def test_a_refresh_token_from_long_ago_ends_the_session_at_once(sessions: Sessions, ann: User) -> None:
    first = await _login(sessions)
    second = await sessions.refresh(first.refresh_token)
    third = await sessions.refresh(second.refresh_token)
    with pytest.raises(AuthenticationFailed):
        await sessions.refresh(first.refresh_token)
    await _refused(sessions, third)


async def test_invented_refresh_tokens_are_refused_and_end_nobodys_session(sessions: Sessions, ann: User) -> None:
    good = await _login(sessions)
    body, _, proof = good.refresh_token.rpartition("_")
    for invented in (
        "",
        good.access_token,
        good.refresh_token + "\n",
        good.refresh_token.upper(),
        f"{body}_{'0' * 64}",
        f"{body.removesuffix('0')}1_{proof}",
        f"{body}_{proof[:-1]}",
        f"llmf_{good.session_id}_0_{proof[::-1]}",
        "\0",
        "\ud800",
    ):
        with pytest.raises(AuthenticationFailed):
            await sessions.refresh(invented)
    with pytest.raises(AuthenticationFailed):
        await sessions.verify(good.refresh_token)
    await sessions.refresh(good.refresh_token)


async def test_a_logout_ends_one_session_a_revocation_all(sessions: Sessions, ann: User, database: Database) -> None:
    first, second, third = [await _login(sessions) for _ in range(3)]
    await sessions.logout(first.session_id, ACTOR)
    await sessions.logout(first.session_id, ACTOR)
    await sessions.logout("nothing", ACTOR)
    await _refused(sessions, first)
    assert (await sessions.verify(second.access_token)).id == ann.id
    async with database.begin() as tx:
        assert await store.revoke_user(tx, ann.id) == 2
    await _refused(sessions, second)
    await _refused(sessions, third)
    async with database.read() as tx:
        assert await store.of_user(tx, ann.id) == []


@pytest.mark.parametrize("way", ["disabled", "deleted"])
async def test_a_user_who_is_disabled_or_deleted_is_out_at_once(
    sessions: Sessions, ann: User, database: Database, way: str
) -> None:
    tokens = await _login(sessions)
    async with database.begin() as tx:
        if way == "disabled":
            await users.update(tx, ann.id, disabled=True)
        else:
            await users.delete(tx, ann.id)
    await _refused(sessions, tokens)


async def test_a_session_ends_after_its_days_however_often_it_is_refreshed(
    sessions: Sessions, ann: User, clock: Clock, database: Database
) -> None:
    tokens = await _login(sessions)
    for _ in range(29):
        clock.advance(86_400)
        tokens = await sessions.refresh(tokens.refresh_token)
    clock.advance(86_400)
    await _refused(sessions, tokens)
    async with database.begin() as tx:
        assert await store.delete_ended(tx, clock.start, 10) == 0
        assert await store.delete_ended(tx, clock.now(), 10) == 0
        clock.advance(1)
        assert await store.delete_ended(tx, clock.now(), 10) == 1


async def test_an_access_token_is_good_for_its_minutes(sessions: Sessions, ann: User, clock: Clock) -> None:
    clock.advance(-14 * 60)
    tokens = await _login(sessions)
    _, expires_at = await sessions.check(tokens.access_token)
    assert 840 <= (expires_at - clock.now()).total_seconds() <= 900
    clock.advance(-60 * 2)
    old = await _login(sessions)
    with pytest.raises(AuthenticationFailed):
        await sessions.check(old.access_token)


async def test_of_too_many_sessions_the_one_that_was_renewed_longest_ago_ends(
    sessions: Sessions, ann: User, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    clock.advance(-10 * 60)  # an access token of the future is none
    told: list[str] = []

    async def login() -> Tokens:
        clock.advance(60)
        return await sessions.login(
            "ann", PASSWORD, address="10.0.0.1", client="pytest", on_ended=lambda: told.append("ended")
        )

    first, second, third = [await login() for _ in range(3)]
    clock.advance(60)
    await sessions.refresh(first.refresh_token)
    assert told == []
    fourth = await login()
    assert told == ["ended"]
    await _refused(sessions, second)
    for good in (first, third, fourth):
        assert (await sessions.verify(good.access_token)).id == ann.id
    async with database.read() as tx:
        (entry,) = await activity.page(tx, action="session.revoke")
    assert (entry.target_id, entry.target_name, entry.actor_id) == (second.session_id, "ann", ann.id)
    detail = {"client": "pytest", "address": "10.0.0.1", "reason": "more than 3 sessions"}
    assert json.loads(entry.detail) == detail


async def test_of_ended_sessions_the_last_ones_are_remembered(
    sessions: Sessions, ann: User, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    others = await _login_of_another(sessions, database)
    began = []
    for _ in range(8):
        clock.advance(1)
        tokens = await _login(sessions)
        began.append(tokens.session_id)
        await sessions.logout(tokens.session_id, ACTOR)
    tokens = await _login(sessions)
    async with database.read() as tx:
        rows = await store.page(tx, user_id=ann.id)
    assert [row.id for row in rows] == [tokens.session_id, *sorted(began, reverse=True)[:3]]
    assert (await sessions.verify(others.access_token)).name == "bob"


async def _login_of_another(sessions: Sessions, database: Database) -> Tokens:
    async with database.begin() as tx:
        ann = await users.by_name(tx, "ann")
        hashed = await users.password_hash(tx, ann.id)
        await users.create(tx, name="bob", password_hash=hashed, role=Role.USER)
    return await _login(sessions, "bob")


async def test_tokens_of_another_server_are_refused(
    sessions: Sessions, ann: User, database: Database, settings: Settings, throttle: LoginThrottle
) -> None:
    other = Sessions(database, sessions._changes, sessions._hasher, ServerSecret(bytes(32)), settings, throttle)
    await _refused(other, await _login(sessions))
