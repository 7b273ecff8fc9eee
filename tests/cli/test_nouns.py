"""Users, tokens, keys and the whitelist from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.admin.harness import PASSWORD, Site
from tests.cli.harness import llmgate


async def test_a_user_is_created_shown_changed_and_deleted(root: Site) -> None:
    made = await llmgate("users", "create", "grace", "--level", "2", "--password-stdin", "-q", stdin=PASSWORD)
    user_id = made.ok().out.strip()
    shown = (await llmgate("users", "show", "grace", "-o", "json")).ok().json
    assert (shown["id"], shown["level"], shown["role"]) == (user_id, 2, "user")
    changed = await llmgate("-o", "json", "users", "update", "grace", "--role", "admin", "--default-level")
    assert (changed.ok().json["role"], changed.json["level"]) == ("admin", None)
    assert (await root.login("grace")).status_code == 200
    (await llmgate("users", "delete", "grace", "--yes")).ok()
    assert (await llmgate("users", "show", "grace")).code == 5


async def test_a_list_is_a_table_or_json_or_a_json_object_per_line_or_ids(root: Site) -> None:
    table = (await llmgate("users", "list")).ok().out
    assert table.splitlines()[0].split()[:2] == ["NAME", "ROLE"]
    assert "ada" in table
    rows = (await llmgate("users", "list", "-o", "json")).ok().json
    assert [row["name"] for row in rows] == ["root", "ada"]
    assert rows == (await root.admin.get("/admin/v1/users")).json()["data"]
    lines = (await llmgate("users", "list", "-o", "jsonl")).ok().out.splitlines()
    assert [json.loads(line) for line in lines] == rows
    ids = (await llmgate("users", "list", "-q")).ok().out.splitlines()
    assert ids == [row["id"] for row in rows]


async def test_an_empty_list_is_an_empty_array_in_json_and_a_message_beside_the_data_otherwise(root: Site) -> None:
    empty = (await llmgate("tokens", "list", "-o", "json")).ok()
    assert (empty.json, empty.err) == ([], "")
    empty = (await llmgate("tokens", "list")).ok()
    assert (empty.out, empty.err) == ("", "Nothing to list.\n")


async def test_a_list_longer_than_a_page_is_fetched_whole(root: Site) -> None:
    for number in range(205):
        await root.made("keys", name=f"k-{number}")
    assert len((await llmgate("keys", "list", "-q")).ok().out.splitlines()) == 206
    assert len((await llmgate("keys", "list", "-q", "--limit", "201")).ok().out.splitlines()) == 201


async def test_a_password_changes_by_file(root: Site, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("another good one\n")
    changed = (await llmgate("users", "password", "ada", "--password-file", str(file))).ok()
    assert changed.out == ""
    assert (await root.login("ada", "another good one")).status_code == 200


async def test_a_new_key_is_the_only_line_on_standard_output(root: Site) -> None:
    made = (await llmgate("keys", "create", "robot", "--level", "4", "--model", "llama3.2", "--expires", "30d")).ok()
    key = made.out.removesuffix("\n")
    assert key.startswith("llmg_")
    assert "Store it now" in made.err
    who = (await root.nobody.get("/gate/auth/me", headers={"x-api-key": key})).json()
    assert (who["name"], who["level"], who["models"]) == ("robot", 4, ["llama3.2"])
    quiet = (await llmgate("keys", "create", "other", "-q")).ok()
    assert quiet.out.startswith("llmg_")
    assert quiet.err == ""
    whole = (await llmgate("keys", "create", "third", "-o", "json")).ok().json
    assert whole["key"].startswith(f"llmg_{whole['id']}_")


async def test_a_key_is_changed_revoked_and_deleted(root: Site) -> None:
    (await llmgate("keys", "create", "robot", "--model", "llama3.2", "--level", "4")).ok()
    changed = (await llmgate("keys", "update", "robot", "--all-models", "--default-level", "-o", "json")).ok().json
    assert (changed["models"], changed["level"]) == (None, None)
    assert (await llmgate("keys", "update", "robot", "--disable", "-o", "json")).ok().json["disabled"] is True
    revoked = (await llmgate("keys", "revoke", "robot", "-y", "-o", "json")).ok().json
    assert revoked["revoked_at"] is not None
    assert "revoked" in (await llmgate("keys", "list")).ok().out
    (await llmgate("keys", "delete", "robot", "-y")).ok()
    assert (await llmgate("keys", "show", "robot")).code == 5


async def test_a_change_of_nothing_and_a_taken_name_are_told_apart_from_usage_errors(root: Site) -> None:
    (await llmgate("keys", "create", "robot")).ok()
    unchanged = await llmgate("keys", "update", "robot")
    assert unchanged.code == 6
    assert "Nothing to change." in unchanged.err
    assert (await llmgate("keys", "create", "robot")).code == 6
    assert (await llmgate("keys", "create", "robot", "--level", "9")).code == 2
    assert (await llmgate("keys", "create", "robot", "--expires", "soon")).code == 2
    assert (await llmgate("keys", "frobnicate")).code == 2


async def test_what_is_not_there_is_named_with_the_command_that_lists_it(root: Site) -> None:
    for noun, what in (("users", "user"), ("keys", "key"), ("tokens", "registration token")):
        missing = await llmgate(noun, "show", "bob", "-o", "json")
        assert missing.error["message"] == f"There is no {what} 'bob'."
        assert f"llmgate {noun} list" in missing.error["hint"]
    for of_user in (("keys", "create", "robot", "--user", "bob"), ("keys", "list", "--user", "bob")):
        assert "There is no user 'bob'." in (await llmgate(*of_user)).err
    missing = await llmgate("queue", "pause", "bob")
    assert "There is no pool 'bob'." in missing.err


async def test_a_token_is_found_by_its_label_where_only_one_has_it(root: Site) -> None:
    first = (await llmgate("tokens", "create", "class", "-o", "json")).ok().json
    assert (await llmgate("tokens", "show", "class", "-o", "json")).ok().json["id"] == first["id"]
    second = (await llmgate("tokens", "create", "class", "-o", "json")).ok().json
    several = await llmgate("tokens", "delete", "class", "-y")
    assert several.code == 6
    assert first["id"] in several.err
    assert second["id"] in several.err


async def test_a_registration_token_is_printed_once_and_ended(root: Site) -> None:
    made = (await llmgate("tokens", "create", "class", "--uses", "3", "-o", "json")).ok().json
    assert (made["max_uses"], made["label"]) == (3, "class")
    assert made["token"].startswith("llmr_")
    shown = (await llmgate("tokens", "show", made["id"])).ok().out
    assert "0 of 3" in shown
    assert made["token"] not in shown
    (await llmgate("tokens", "revoke", made["id"], "-y")).ok()
    (await llmgate("tokens", "delete", made["id"], "-y")).ok()
    assert (await llmgate("tokens", "list", "-o", "json")).ok().json == []


async def test_the_whitelist_is_edited_by_network(root: Site) -> None:
    (await llmgate("whitelist", "add", "192.168.7.9/24", "--label", "lab", "--level", "2")).ok()
    listed = (await llmgate("whitelist", "list", "-o", "json")).ok().json
    assert [(entry["cidr"], entry["label"]) for entry in listed] == [("192.168.7.0/24", "lab")]
    changed = await llmgate("whitelist", "update", "192.168.7.0/24", "--default-level", "-o", "json")
    assert changed.ok().json["level"] is None
    assert (await llmgate("whitelist", "show", listed[0]["id"], "-o", "json")).ok().json["cidr"] == "192.168.7.0/24"
    (await llmgate("whitelist", "remove", "192.168.7.1/24", "-y")).ok()
    assert (await llmgate("whitelist", "delete", "192.168.7.0/24", "-y")).code == 5
    assert (await llmgate("whitelist", "add", "0.0.0.0/0")).code == 6
    assert (await llmgate("whitelist", "add", "nonsense")).code == 6


async def test_text_from_the_daemon_cannot_command_the_terminal(root: Site) -> None:
    await root.made("tokens", label="[bold]x[/bold] [/]")
    table = (await llmgate("tokens", "list")).ok().out
    assert "[bold]x[/bold] [/]" in table
    answer = await llmgate("users", "show", "a\x1b[2Jb")
    assert answer.code == 5
    assert "\x1b" not in answer.err


async def test_ids_that_look_like_paths_reach_nothing_else(root: Site) -> None:
    for odd in ("..", ".", "../users", "x/../../system", "%2e%2e", "ada?search=x", "ada#x", ""):
        for noun in ("users", "keys", "tokens", "whitelist"):
            assert (await llmgate(noun, "delete", odd, "-y")).code in (5, 6), (noun, odd)
    assert len((await llmgate("users", "list", "-q")).ok().out.splitlines()) == 2
