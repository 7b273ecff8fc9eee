"""`llmgate settings` and `llmgate config reload`."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmgate.cli.settings import parsed
from llmgate.config import load
from llmgate.errors import InvalidRequest
from llmgate.values import accepted
from tests.admin.harness import Site, run_site
from tests.cli.conftest import login
from tests.cli.harness import llmgate


async def test_settings_are_listed_with_their_origin_and_changed_by_what_is_typed(root: Site) -> None:
    rows = {row["key"]: row for row in (await llmgate("settings", "list", "-o", "json")).ok().json}
    assert rows["queue.aged_share"]["origin"] == "default"
    table = (await llmgate("settings", "list")).ok().out
    assert "0.15" in table
    assert "ORIGIN" in table
    changeable = (await llmgate("settings", "list", "--changeable", "-q")).ok().out.split()
    assert "queue.aged_share" in changeable
    assert "server.port" not in changeable
    for key, text, value in (
        ("queue.aged_share", "0.3", 0.3),
        ("queue.max_waiting", "20", 20),
        ("auth.registration", "off", False),
        ("log.level", "warning", "warning"),
    ):
        assert (await llmgate("settings", "set", key, text, "-o", "json")).ok().json["value"] == value
        found = (await llmgate("settings", "show", key, "-o", "json")).ok().json
        assert (found["value"], found["origin"], found["updated_by"]) == (value, "database", "root")
    assert (await llmgate("settings", "reset", "auth.registration", "-o", "json")).ok().json["value"] is True
    shown = (await llmgate("settings", "show", "queue.aged_share")).ok().out
    assert "above 0" in shown
    assert "below 1" in shown


async def test_what_cannot_be_set_is_refused_with_the_reason(root: Site) -> None:
    wrong = await llmgate("settings", "set", "queue.max_waiting", "many")
    assert "a whole number" in wrong.err
    assert wrong.code != 0
    assert "one of" not in (await llmgate("settings", "set", "queue.aging_seconds", "0")).err
    fixed = await llmgate("settings", "set", "server.port", "1", "-o", "json")
    assert fixed.error["code"] == "read_only"
    assert "restart" in fixed.error["hint"]
    misspelt = await llmgate("settings", "show", "queue.aging_second", "-o", "json")
    assert (misspelt.code, misspelt.error["code"]) == (5, "not_found")
    assert "queue.aging_seconds" in misspelt.error["hint"]


async def test_who_would_be_locked_out_must_force_it(root: Site) -> None:
    await root.made("whitelist", cidr="127.0.0.1/32")
    refused = await llmgate("settings", "set", "auth.whitelist", "false", "-o", "json")
    assert refused.error["code"] == "would_lock_out"
    forced = await llmgate("settings", "set", "auth.whitelist", "false", "--force", "-o", "json")
    assert forced.ok().json["value"] is False


async def test_a_reload_tells_what_changed_and_what_needs_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "llmgate.toml"
    file.write_text("")
    async with run_site(tmp_path / "state", loaded=load(file, environ={})) as site:
        await login(site, "root")
        file.write_text("[queue]\nwindow = 99\n[levels]\nuser = 4\n")
        done = (await llmgate("config", "reload")).ok()
        assert "levels.user" in done.out
        assert "queue.window needs a restart" in done.err
        again = (await llmgate("config", "reload")).ok()
        assert "nothing that could be taken over is different" in again.err
        as_json = (await llmgate("config", "reload", "-o", "json")).ok().json
        assert (as_json["path"], as_json["changed"]) == (str(file), [])
        file.write_text("[levels]\nuser = 9\n")
        bad = await llmgate("config", "reload", "-o", "json")
        assert (bad.code, bad.error["code"]) == (6, "config_invalid")
        assert "levels.user" in bad.error["message"]


async def test_a_reload_tells_that_an_upstream_of_the_same_name_is_another(tmp_path: Path) -> None:
    file = tmp_path / "llmgate.toml"
    upstream = '[[upstreams]]\nname = "gpu"\nurl = "http://127.0.0.1:9"\nslots = {}\n'
    file.write_text(upstream.format(1))
    async with run_site(tmp_path / "state", loaded=load(file, environ={})) as site:
        await login(site, "root")
        (await llmgate("config", "reload")).ok()
        file.write_text("[queue]\naging_seconds = 25\naged_share = 0.35\n" + upstream.format(2))
        lines = (await llmgate("config", "reload")).ok().out.splitlines()
        assert [line.split() for line in lines[1:]] == [
            ["queue.aging_seconds", "30", "25"],
            ["queue.aged_share", "0.15", "0.35"],
            ["upstreams", "gpu", "changed"],
        ]


async def test_a_reload_without_a_file_says_so(root: Site) -> None:
    done = (await llmgate("config", "reload")).ok()
    assert "nothing changes" in done.err


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "-3", -3),
        ("number", "2.5", 2.5),
        ("boolean", "Yes", True),
        ("boolean", "off", False),
        ("string", "30", "30"),
        ("array", "a, b,", ["a", "b"]),
    ],
)
def test_a_value_is_read_by_the_type_of_its_setting(kind: str, text: str, value: object) -> None:
    assert parsed("some.key", text, {"type": kind}) == value


@pytest.mark.parametrize(("kind", "text"), [("integer", "2.5"), ("number", "x"), ("boolean", "2")])
def test_a_value_of_another_type_is_refused_with_what_it_takes(kind: str, text: str) -> None:
    schema = {"type": kind}
    with pytest.raises(InvalidRequest) as caught:
        parsed("some.key", text, schema)
    assert accepted(schema) in caught.value.text()
