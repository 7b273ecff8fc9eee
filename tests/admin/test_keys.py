"""API keys over the admin API: rotation, states, bounds, and the guard against locking oneself out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from llmgate.daemon.store import activity
from tests.admin.harness import Site, problem

KEYS = "/admin/v1/keys"


async def me(site: Site, key: str) -> httpx.Response:
    return await site.nobody.get("/gate/auth/me", headers={"x-api-key": key})


async def rotated(site: Site, key: str, overlap: int, **headers: str) -> dict[str, Any]:
    answer = await site.admin.post(f"{KEYS}/{key}/rotate", json={"overlap_seconds": overlap}, headers=headers)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_rotated_key_has_a_new_secret_and_the_old_one_works_for_a_while(site: Site) -> None:
    old = await site.made("keys", name="robot", level=4, requests_per_minute=600)
    new = await rotated(site, "robot", 3600)
    assert {name for name in old if old[name] != new[name]} == {"key", "last4", "rotated_at", "previous_until"}
    until = datetime.fromisoformat(new["previous_until"])
    assert timedelta(minutes=59) < until - datetime.now(UTC) <= timedelta(hours=1)
    for key in (old["key"], new["key"]):
        who = (await me(site, key)).json()
        assert (who["id"], who["level"], who["limits"]["requests_per_minute"]) == (old["id"], 4, 600)
    newest = await rotated(site, "robot", 3600)
    statuses = [(await me(site, key)).status_code for key in (old["key"], new["key"], newest["key"])]
    assert statuses == [401, 200, 200]
    last = await rotated(site, "robot", 0)
    assert last["previous_until"] is None
    statuses = [(await me(site, key)).status_code for key in (new["key"], newest["key"], last["key"])]
    assert statuses == [401, 401, 200]
    text = (await site.admin.get(KEYS)).text
    assert not any(one["key"] in text for one in (old, new, newest, last))


async def test_the_overlap_ends_by_itself(site: Site) -> None:
    old = await site.made("keys", name="robot")
    new = await rotated(site, "robot", 1)
    assert (await me(site, old["key"])).status_code == 200
    until = datetime.fromisoformat(new["previous_until"])
    while datetime.now(UTC) <= until:
        await me(site, new["key"])
    assert (await me(site, old["key"])).status_code == 401
    assert (await me(site, new["key"])).status_code == 200


async def test_a_rotation_is_of_the_version_that_was_seen_and_done_once(site: Site) -> None:
    await site.made("keys", name="robot")
    tag = (await site.admin.get(f"{KEYS}/robot")).headers["etag"]
    made = await rotated(site, "robot", 0, **{"if-match": tag, "idempotency-key": "abc"})
    again = await site.admin.post(
        f"{KEYS}/robot/rotate", json={"overlap_seconds": 0}, headers={"idempotency-key": "abc"}
    )
    assert problem(again, 409, "already_created")["id"] == made["id"]
    stale = await site.admin.post(f"{KEYS}/robot/rotate", json={"overlap_seconds": 0}, headers={"if-match": tag})
    problem(stale, 412, "precondition_failed")
    assert (await me(site, made["key"])).status_code == 200
    await site.admin.post(f"{KEYS}/robot/revoke")
    problem(await site.admin.post(f"{KEYS}/{made['id']}/rotate", json={}), 409, "conflict")
    for body in ({"overlap_seconds": -1}, {"overlap_seconds": 31 * 24 * 3600}, {"overlap": 3}):
        problem(await site.admin.post(f"{KEYS}/robot/rotate", json=body), 400, "invalid_request")


async def test_a_repeated_creation_answers_with_the_id_and_never_the_secret(site: Site) -> None:
    headers = {"idempotency-key": "one"}
    first = await site.admin.post(KEYS, json={"name": "robot"}, headers=headers)
    again = await site.admin.post(KEYS, json={"name": "robot"}, headers=headers)
    assert problem(again, 409, "already_created")["id"] == first.json()["id"]
    assert first.json()["key"] not in again.text
    assert [key["name"] for key in (await site.admin.get(KEYS)).json()["data"]] == ["test", "robot"]


async def test_limits_are_kept_shown_and_taken_away(site: Site) -> None:
    limits = {
        "requests_per_minute": 60,
        "tokens_per_minute": 90_000,
        "max_concurrent": 4,
        "max_waiting": 0,
        "tokens_per_day": 10**12,
        "tokens_per_month": 10**13,
    }
    made = await site.made("keys", name="robot", routes=["embeddings", "chat", "chat"], cidrs=["127.0.0.9/8"], **limits)
    assert {name: made[name] for name in limits} == limits
    assert (made["routes"], made["cidrs"]) == (["chat", "embeddings"], ["127.0.0.0/8"])
    who = (await me(site, made["key"])).json()
    assert (who["limits"], who["routes"]) == (limits, ["chat", "embeddings"])
    assert who["used"] == {"requests": 0, "tokens": 0, "in_flight": 0, "tokens_today": 0, "tokens_this_month": 0}
    freed = (await site.admin.patch(f"{KEYS}/robot", json=dict.fromkeys([*limits, "routes", "cidrs"]))).json()
    assert {freed[name] for name in [*limits]} == {None}
    assert (freed["routes"], freed["cidrs"]) == (None, None)
    who = (await me(site, made["key"])).json()
    assert (who["limits"], who["used"], who["routes"]) == (None, None, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("routes", ["nonsense"]),
        ("routes", []),
        ("routes", ["/api/pull/../x"]),
        ("cidrs", ["10.0.0.0/33"]),
        ("cidrs", ["10.0.0.0/255.0.0.0"]),
        ("cidrs", ["fe80::1%eth0"]),
        ("cidrs", []),
        ("requests_per_minute", 0),
        ("tokens_per_minute", -5),
        ("tokens_per_day", 10**16),
        ("max_waiting", -1),
        ("max_concurrent", 1.5),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_bounds_that_make_no_sense_are_refused(shared: Site, field: str, value: object) -> None:
    problem(await shared.admin.post(KEYS, json={"name": "odd", field: value}), 400, "invalid_request")
    problem(await shared.admin.patch(f"{KEYS}/test", json={field: value}), 400, "invalid_request")


async def test_a_list_is_narrowed_by_what_the_key_is(site: Site) -> None:
    async def names(**filters: object) -> list[str]:
        listed = await site.admin.get(KEYS, params={key: str(value) for key, value in filters.items()})
        return [key["name"] for key in listed.json()["data"]]

    soon = (datetime.now(UTC) + timedelta(milliseconds=300)).isoformat()
    await site.made("keys", name="short", expires_at=soon)
    for name, changes in {
        "revoked": {},
        "off": {"disabled": True},
        "adas": {},
        "low": {"level": 5},
    }.items():
        await site.made("keys", name=name, **({"user": "ada"} if name == "adas" else {}))
        if changes:
            await site.admin.patch(f"{KEYS}/{name}", json=changes)
    await site.made("keys", name="root-key", role="admin")
    await site.admin.post(f"{KEYS}/revoked/revoke")
    assert await names(state="owner_disabled") == []
    await site.admin.patch("/admin/v1/users/ada", json={"disabled": True})
    while (await site.admin.get(f"{KEYS}/short")).json()["state"] == "active":
        pass
    by_state = {
        "active": ["test", "low", "root-key"],
        "owner_disabled": ["adas"],
        "disabled": ["off"],
        "expired": ["short"],
        "revoked": ["revoked"],
    }
    for state, expected in by_state.items():
        assert await names(state=state) == expected
        for name in expected:
            assert (await site.admin.get(f"{KEYS}/{name}")).json()["state"] == state
    assert await names(role="admin") == ["root-key"]
    assert await names(level=5, role="user") == ["low"]
    assert await names(user="ada", state="active") == []
    assert await names(search="o", state="active") == ["low", "root-key"]
    adas = (await site.admin.get(f"{KEYS}/adas")).json()
    assert (adas["user"], adas["state"]) == ("ada", "owner_disabled")
    problem(await site.admin.get(KEYS, params={"state": "odd"}), 400, "invalid_request")


async def test_a_key_is_never_of_a_better_level_than_its_user(site: Site) -> None:
    await site.admin.patch("/admin/v1/users/ada", json={"level": 3})
    for level in (1, 2):
        refused = await site.admin.post(KEYS, json={"name": "k", "user": "ada", "level": level})
        document = problem(refused, 400, "invalid_request")
        assert document["param"] == "level"
        assert "'ada' has level 3" in document["detail"]
    own = await site.made("keys", name="own", user="ada", level=3)
    plain = await site.made("keys", name="plain", user="ada")
    problem(await site.admin.patch(f"{KEYS}/own", json={"level": 2}), 400, "invalid_request")
    assert (await me(site, plain["key"])).json()["level"] == 3  # and not the default of keys, which is better
    await site.admin.patch("/admin/v1/users/ada", json={"level": 5})
    assert [(await me(site, key["key"])).json()["level"] for key in (own, plain)] == [5, 5]
    await site.admin.patch("/admin/v1/users/ada", json={"level": None})
    assert [(await me(site, key["key"])).json()["level"] for key in (own, plain)] == [3, 2]


async def test_an_administrators_key_may_be_bound_to_some_of_it(site: Site) -> None:
    scrape = (await site.made("keys", name="prometheus", role="admin", routes=["metrics"]))["key"]
    ops = (await site.made("keys", name="ops", role="admin", routes=["admin"]))["key"]
    statuses = {
        path: [(await site.nobody.get(path, headers={"x-api-key": key})).status_code for key in (scrape, ops)]
        for path in ("/metrics", "/admin/v1/keys", "/gate/auth/me")
    }
    assert statuses == {"/metrics": [200, 403], "/admin/v1/keys": [403, 200], "/gate/auth/me": [200, 200]}


async def test_nobody_locks_the_own_key_out_by_accident(site: Site) -> None:
    own = await site.made("keys", name="ops", role="admin")
    headers = {"x-api-key": own["key"]}
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    for body, why in (
        ({"disabled": True}, "be disabled"),
        ({"expires_at": soon}, "expire within the hour"),
        ({"cidrs": ["10.0.0.0/8"]}, "not be for 127.0.0.1"),
        ({"routes": ["chat"]}, "not be for the admin API"),
    ):
        refused = await site.nobody.patch(f"{KEYS}/ops", json=body, headers=headers)
        document = problem(refused, 409, "would_lock_out")
        assert why in document["detail"]
        assert "--force" in document["hint"]
    problem(await site.nobody.post(f"{KEYS}/ops/revoke", headers=headers), 409, "would_lock_out")
    problem(await site.nobody.delete(f"{KEYS}/{own['id']}", headers=headers), 409, "would_lock_out")
    assert (await site.admin.get(f"{KEYS}/ops")).json()["state"] == "active"
    harmless = {"cidrs": ["127.0.0.0/8"], "routes": ["admin"], "level": 5}
    assert (await site.nobody.patch(f"{KEYS}/ops", json=harmless, headers=headers)).status_code == 200
    assert (await site.admin.patch(f"{KEYS}/test", json={"disabled": True})).status_code == 200
    forced = await site.nobody.post(f"{KEYS}/ops/revoke", params={"force": "true"}, headers=headers)
    assert forced.json()["state"] == "revoked"


async def test_every_change_is_in_the_activity_log_without_secrets(site: Site) -> None:
    made = await site.made("keys", name="robot", level=4, tokens_per_day=5)
    await site.admin.patch(f"{KEYS}/robot", json={"tokens_per_day": 9})
    new = await rotated(site, "robot", 60)
    await site.admin.post(f"{KEYS}/robot/revoke")
    await site.admin.delete(f"{KEYS}/{made['id']}")
    async with site.gateway.services.database.read() as tx:
        entries = [entry for entry in await activity.page(tx, limit=100) if entry.action.startswith("key.")]
    assert sorted(entry.action for entry in entries) == [
        "key.create", "key.delete", "key.revoke", "key.rotate", "key.update",
    ]  # fmt: skip
    assert {entry.target_id for entry in entries} == {made["id"]}
    details = {entry.action: entry.detail for entry in entries}
    assert '"tokens_per_day"' in details["key.create"]
    assert details["key.update"].replace(" ", "") == '{"tokens_per_day":[5,9]}'
    assert not any(key["key"] in entry.detail for key in (made, new) for entry in entries)
