"""`llmgate keys`: limits, rotation and states from the command line."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.admin.harness import Site
from tests.cli.harness import llmgate


async def test_a_key_gets_its_limits_and_loses_them(root: Site) -> None:
    made = await llmgate(
        "keys", "create", "robot", "--requests-per-minute", "60", "--tokens-per-minute", "90k", "--max-concurrent", "4",
        "--max-waiting", "0", "--tokens-per-day", "2M", "--tokens-per-month", "1g", "--route", "chat",
        "--route", "/v1/embeddings", "--cidr", "127.0.0.0/8", "-o", "json",
    )  # fmt: skip
    key = made.ok().json
    assert {name: key[name] for name in key if "per_" in name or name.startswith("max_")} == {
        "requests_per_minute": 60,
        "tokens_per_minute": 90_000,
        "max_concurrent": 4,
        "max_waiting": 0,
        "tokens_per_day": 2_000_000,
        "tokens_per_month": 1_000_000_000,
    }
    shown = (await llmgate("keys", "show", "robot")).ok().out
    assert "/v1/embeddings, chat" in shown
    assert "127.0.0.0/8" in shown
    changed = await llmgate(
        "keys", "update", "robot", "--tokens-per-day", "none", "--max-waiting", "7", "--all-routes", "--all-networks",
        "-o", "json",
    )  # fmt: skip
    key = changed.ok().json
    assert (key["tokens_per_day"], key["max_waiting"], key["routes"], key["cidrs"]) == (None, 7, None, None)
    assert key["tokens_per_minute"] == 90_000


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--tokens-per-day", "many", 2),
        ("--tokens-per-day", "5t", 2),
        ("--requests-per-minute", "0", 6),
        ("--route", "everything", 6),
        ("--cidr", "nowhere", 6),
    ],
)
async def test_bounds_that_make_no_sense_are_refused(root: Site, option: str, value: str, code: int) -> None:
    assert (await llmgate("keys", "create", "robot", option, value)).code == code


async def test_a_rotation_prints_the_new_secret_once(root: Site) -> None:
    old = (await llmgate("keys", "create", "robot")).ok().out.strip()
    rotated = (await llmgate("keys", "rotate", "robot", "--overlap", "2h")).ok()
    new = rotated.out.strip()
    assert new.startswith("llmg_")
    assert new != old
    assert "The old one works until" in rotated.err
    for key in (old, new):
        assert (await root.nobody.get("/gate/auth/me", headers={"x-api-key": key})).status_code == 200
    at_once = (await llmgate("keys", "rotate", "robot", "--overlap", "0", "-o", "json")).ok().json
    assert at_once["previous_until"] is None
    assert datetime.fromisoformat(at_once["rotated_at"])
    for key in (old, new):
        assert (await root.nobody.get("/gate/auth/me", headers={"x-api-key": key})).status_code == 401
    assert (await llmgate("keys", "rotate", "robot", "--overlap", "soon")).code == 2
    assert (await llmgate("keys", "rotate", "robot", "--overlap", "40d")).code == 6
    assert (await llmgate("keys", "rotate", "nobody")).code == 5


async def test_a_list_tells_states_and_is_narrowed_by_them(root: Site) -> None:
    (await llmgate("keys", "create", "adas", "--user", "ada", "--level", "4")).ok()
    (await llmgate("keys", "create", "off")).ok()
    (await llmgate("keys", "update", "off", "--disable")).ok()
    (await llmgate("users", "update", "ada", "--disable")).ok()
    assert "owner disabled" in (await llmgate("keys", "list")).ok().out
    listed = (await llmgate("keys", "list", "--state", "owner_disabled", "-o", "json")).ok().json
    assert [(key["name"], key["user"]) for key in listed] == [("adas", "ada")]
    assert [key["name"] for key in (await llmgate("keys", "list", "--level", "4", "-o", "json")).ok().json] == ["adas"]
    assert [key["name"] for key in (await llmgate("keys", "list", "--state", "disabled", "-o", "json")).ok().json] == [
        "off"
    ]
    assert (await llmgate("keys", "list", "--state", "odd")).code == 2


async def test_the_own_key_is_ended_by_force_only(root: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    own = (await llmgate("keys", "create", "ops", "--role", "admin")).ok().out.strip()
    monkeypatch.setenv("LLMGATE_TOKEN", own)
    monkeypatch.setenv("LLMGATE_URL", root.url)
    for command in (("revoke", "ops", "-y"), ("delete", "ops", "-y"), ("update", "ops", "--disable")):
        refused = await llmgate("keys", *command)
        assert refused.code == 6
        assert "This is the key that you use" in refused.err
    (await llmgate("keys", "delete", "ops", "-y", "--force")).ok()
    assert (await llmgate("keys", "list")).code == 4
