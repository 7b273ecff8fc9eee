"""The activity log and sessions from the command line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from llmgate.daemon.store.activity import activity
from llmgate.text import changes
from tests.admin.harness import PASSWORD, Site
from tests.cli.harness import llmgate, on_terminal


async def test_two_values_are_a_change_only_where_something_was_changed(root: Site) -> None:
    (await llmgate("keys", "create", "robot", "--model", "llama3.2", "--model", "nosuch")).ok()
    (await llmgate("settings", "set", "queue.aging_seconds", "7")).ok()
    table = (await llmgate("activity", "list")).ok().out
    assert 'models: ["llama3.2", "nosuch"]' in table
    assert "→ 7" in table


def test_of_a_reloaded_file_each_setting_is_told_before_and_after() -> None:
    told = {"changed": {"log.level": ["info", "debug"], "upstreams": [["a"], ["a", "b"]]}, "needs_restart": ["x", "y"]}
    assert changes("settings.reload", told) == [
        ("log.level", "info → debug"),
        ("upstreams", '["a"] → ["a", "b"]'),
        ("needs_restart", '["x", "y"]'),
    ]
    assert changes("queue.level", {"owner": "key:1", "level": [3, 1]})[1] == ("level", "3 → 1")
    assert changes("pool.pause", {"state": "open"}) == [("state", "open")]


async def test_changes_are_listed_filtered_and_shown(root: Site) -> None:
    (await llmgate("users", "update", "ada", "--level", "2")).ok()
    table = (await llmgate("activity", "list")).ok().out
    assert table.splitlines()[0].split()[:4] == ["SEQ", "AT", "WHO", "FROM"]
    assert "level: null → 2" in table
    rows = (await llmgate("activity", "list", "--action", "user.", "-o", "json")).ok().json
    assert [(row["action"], row["target_name"]) for row in rows] == [("user.update", "ada")]
    seq = str(rows[0]["seq"])
    assert (await llmgate("activity", "list", "--target", "ada", "--since", "1h", "-q")).ok().out.split()[0] == seq
    assert (await llmgate("activity", "list", "--actor", "nobody-here", "-o", "json")).ok().json == []
    shown = (await llmgate("activity", "show", seq)).ok().out
    assert "root (session" in shown
    assert (await llmgate("activity", "show", "99999")).code == 5


async def test_a_whole_log_is_proved_with_a_head_to_keep(root: Site) -> None:
    told = (await llmgate("activity", "verify")).ok().out
    assert "yes" in told.splitlines()[0]
    head = (await llmgate("activity", "verify", "-q")).ok().out.strip()
    seq, _, digest = head.partition(":")
    assert (int(seq), len(digest)) == (3, 64)
    await root.made("keys", name="robot")
    again = (await llmgate("activity", "verify", "--expect", head, "-o", "json")).ok().json
    assert (again["ok"], again["entries"]) == (True, 4)
    assert (await llmgate("activity", "verify", "--expect", f"{seq}:{'0' * 64}")).code == 1
    for odd in ("x", "3", f"0:{digest}", f"{seq}:{digest}0"):
        assert (await llmgate("activity", "verify", "--expect", odd)).code == 6


async def test_a_broken_log_ends_with_1_and_says_where(root: Site) -> None:
    async with root.gateway.services.database.begin() as tx:
        await tx.execute(activity.update().where(activity.c.seq == 2).values(actor_name="eve"))
    found = await llmgate("activity", "verify")
    assert found.code == 1
    assert "Entry 2 is not as it was written" in found.out
    as_json = await llmgate("activity", "verify", "-o", "json")
    assert (as_json.code, as_json.json["fault"]["seq"]) == (1, 2)
    quiet = await llmgate("activity", "verify", "-q")
    assert (quiet.code, quiet.out.startswith("1:"), "Entry 2" in quiet.err) == (1, True, True)


async def test_the_log_is_followed_as_it_grows(root: Site, home: Path) -> None:
    async with on_terminal("activity", "watch", "--last", "1", "--actor", "root", directory=home) as command:
        await command.shows("session.login  root")
        await root.made("keys", name="robot")
        await command.shows("key.create  robot")
        await root.login("ada")
        await root.made("keys", name="other")
        await command.shows("key.create  other")
        assert "session.login  ada" not in command.shown
        assert command.shown.count("key.create  robot") == 1
        command.type("\x03")
        assert await command.ended() == 130


async def test_a_watch_gives_one_line_of_json_for_each_entry(root: Site, home: Path) -> None:
    async with on_terminal("activity", "watch", "--last", "1", "-o", "jsonl", directory=home) as command:
        await command.shows('"session.login"')
        await root.made("tokens", label="class")
        async with asyncio.timeout(15):
            while command.shown.count("\n") < 2:
                await command.more()
    lines = [json.loads(line) for line in command.shown.splitlines()]
    assert [(line["action"], line["actor_name"]) for line in lines] == [
        ("session.login", "root"),
        ("token.create", "root"),
    ]


async def test_sessions_are_listed_and_ended(root: Site) -> None:
    rows = (await llmgate("sessions", "list", "--live", "-o", "json")).ok().json
    assert [row["user"] for row in rows].count("root") == 2
    assert sum(row["current"] for row in rows) == 1
    assert "root (you)" in (await llmgate("sessions", "list")).ok().out
    (ada,) = (await llmgate("sessions", "list", "--user", "ada", "-q")).ok().out.split()
    assert (await llmgate("sessions", "show", ada, "-o", "json")).ok().json["user"] == "ada"
    assert (await llmgate("sessions", "revoke", ada)).code == 2
    assert "revoked" in (await llmgate("sessions", "revoke", ada, "-y")).ok().out
    assert (await root.user.get("/gate/auth/me")).status_code == 401
    assert (await llmgate("sessions", "revoke", ada, "-y")).code == 6
    assert (await llmgate("sessions", "show", "none")).code == 5
    assert (await llmgate("sessions", "list", "--ended", "-q")).ok().out.split() == [ada]


async def test_all_sessions_of_a_user_are_ended(root: Site) -> None:
    await root.login("ada", PASSWORD)
    ended = (await llmgate("sessions", "revoke", "--user", "ada", "-y", "-o", "json")).ok().json
    assert ended == {"user": "ada", "revoked": 2}
    assert (await llmgate("sessions", "revoke", "-y")).code == 6
    assert (await llmgate("sessions", "revoke", "x", "--user", "ada", "-y")).code == 6
    assert "There is no user 'bob'." in (await llmgate("sessions", "revoke", "--user", "bob", "-y")).err


async def test_the_whitelist_is_asked_and_guards_ones_own_address(root: Site) -> None:
    (await llmgate("whitelist", "add", "127.0.0.0/8", "--label", "here", "--level", "2")).ok()
    told = (await llmgate("whitelist", "test")).ok().out
    assert "127.0.0.0/8" in told
    assert "nothing: it needs a credential" in (await llmgate("whitelist", "test", "192.0.2.1")).ok().out
    assert (await llmgate("whitelist", "test", "192.0.2.1", "-o", "json")).ok().json["entry"] is None
    assert (await llmgate("whitelist", "test", "nonsense")).code == 6
    for change in (("delete", "127.0.0.0/8"), ("update", "127.0.0.0/8", "--level", "4")):
        refused = await llmgate("whitelist", *change, "-y", "-o", "json")
        assert (refused.code, refused.error["code"]) == (6, "would_lock_out")
    assert (await llmgate("whitelist", "add", "127.0.0.1", "--level", "3")).code == 6
    assert (await llmgate("whitelist", "list", "--search", "here", "-q")).ok().out.count("\n") == 1
    (await llmgate("whitelist", "delete", "127.0.0.0/8", "-y", "--force")).ok()


async def test_tokens_are_listed_by_state(root: Site) -> None:
    made = (await llmgate("tokens", "create", "class", "-o", "json")).ok().json
    assert (await llmgate("tokens", "list", "--state", "usable", "-q")).ok().out.strip() == made["id"]
    assert (await llmgate("tokens", "list", "--state", "used", "-o", "json")).ok().json == []
    assert (await llmgate("tokens", "list", "--created-by", "ada", "-o", "json")).ok().json == []
    assert (await llmgate("tokens", "list", "--state", "gone")).code == 2


async def test_who_guesses_is_told_how_long_to_wait(root: Site) -> None:
    arguments = ("login", "--url", root.url, "--name", "ada", "--password-stdin")
    for _ in range(5):
        assert (await llmgate(*arguments, stdin="wrong password\n")).code == 4
    told = await llmgate(*arguments, stdin="wrong password\n")
    assert told.code == 1
    assert "Try again in 1 s." in told.err
