"""Settings through the API: who decides them, what can be changed at run time, and that everything sees the change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from llmgate.config import LogSettings, load
from llmgate.config_keys import keys
from llmgate.daemon.logs import configure_logging, set_log_level
from llmgate.daemon.store import settings as stored
from llmgate.daemon.store.types import utc_now
from llmgate.errors import ConfigError
from tests.admin.harness import PASSWORD, Site, problem, run_site
from tests.fakes.script import Script
from tests.gateway.harness import CHAT

PATH = "/admin/v1/settings"
on_shared = pytest.mark.asyncio(loop_scope="module")


async def shown(site: Site, key: str) -> dict[str, Any]:
    answer = await site.admin.get(f"{PATH}/{key}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def put(site: Site, key: str, value: Any, **query: str) -> dict[str, Any]:
    answer = await site.admin.put(f"{PATH}/{key}", json={"value": value}, params=query)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


async def last_entry(site: Site) -> dict[str, Any]:
    entry: dict[str, Any] = (await site.admin.get("/admin/v1/activity?limit=1")).json()["data"][0]
    return entry


# -- what there is -------------------------------------------------------------------------


@on_shared
async def test_every_setting_is_listed_in_pages_with_who_decides_it(shared: Site) -> None:
    found: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        page = (await shared.admin.get(PATH, params={"limit": 20} | ({"after": after} if after else {}))).json()
        found += page["data"]
        after = page["next"]
        if after is None:
            break
    assert [row["key"] for row in found] == list(keys())
    by_key = {row["key"]: row for row in found}
    aging = by_key["queue.aging_seconds"]
    assert (aging["value"], aging["default"], aging["origin"], aging["mutable"]) == (30, 30, "default", True)
    assert aging["accepts"] == {"type": "number", "exclusiveMinimum": 0, "maximum": 86_400}
    assert "one level up" in aging["description"]
    port = by_key["server.port"]
    assert not port["mutable"]
    assert "restart" in port["reason"]


@on_shared
async def test_only_the_closed_list_can_be_changed(shared: Site) -> None:
    mutable = {key.name for key in keys().values() if key.run_time}
    assert {key.partition(".")[0] for key in mutable} == {
        "queue", "levels", "auth", "usage", "activity", "chat", "health", "log", "server", "requests"
    }  # fmt: skip
    assert not mutable & {"server.port", "server.host", "server.trusted_proxies", "queue.backend", "queue.url"}
    answer = await shared.admin.put(f"{PATH}/server.port", json={"value": 1})
    assert "restart" in problem(answer, 409, "read_only")["hint"]


@on_shared
async def test_what_is_misspelt_is_answered_with_the_nearest_name(shared: Site) -> None:
    for answer in (
        await shared.admin.get(f"{PATH}/queue.aging_second"),
        await shared.admin.put(f"{PATH}/queue.aging_second", json={"value": 1}),
        await shared.admin.delete(f"{PATH}/queue.aging_second"),
    ):
        assert "queue.aging_seconds" in problem(answer, 404, "not_found")["hint"]


async def test_secrets_are_masked(tmp_path: Path) -> None:
    environ = {"LLMGATE_DATABASE__URL": f"sqlite:///{tmp_path}/hunter2.db", "LLMGATE_STATE__DIR": str(tmp_path / "s")}
    async with run_site(tmp_path / "state", loaded=load(None, environ=environ)) as site:
        listed = (await site.admin.get(PATH, params={"limit": 500})).text
        assert "hunter2" not in listed
        assert (await shown(site, "database.url"))["value"] == "**********"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("queue.aging_seconds", "30", "a number"),
        ("queue.aging_seconds", True, "a number"),
        ("queue.aging_seconds", 0, "greater than 0"),
        ("queue.aged_share", 1, "less than 1"),
        ("levels.user", 6, "5"),
        ("levels.user", 2.5, "an integer"),
        ("auth.registration", "no", "true or false"),
        ("log.level", "loud", "debug"),
        ("auth.password_min_length", 7, "8"),
        ("queue.max_waiting", ["1"], "an integer"),
    ],
)
@on_shared
async def test_a_wrong_value_is_refused_and_changes_nothing(shared: Site, key: str, value: Any, says: str) -> None:
    before = await shown(shared, key)
    answer = await shared.admin.put(f"{PATH}/{key}", json={"value": value})
    document = problem(answer, 400, "invalid_request")
    assert says in document["detail"]
    assert await shown(shared, key) == before


# -- changing ------------------------------------------------------------------------------


async def test_a_setting_is_changed_and_taken_back_with_a_note_of_both(site: Site) -> None:
    changed = await put(site, "queue.aging_seconds", 12)
    assert (changed["value"], changed["origin"], changed["updated_by"]) == (12, "database", "root")
    assert changed["updated_at"] is not None
    assert site.gateway.services.settings.queue.aging_seconds == 12
    entry = await last_entry(site)
    assert (entry["action"], entry["target_name"]) == ("settings.set", "queue.aging_seconds")
    assert entry["detail"] == {"value": [30, 12]}
    answer = await site.admin.delete(f"{PATH}/queue.aging_seconds")
    assert (answer.json()["value"], answer.json()["origin"]) == (30, "default")
    assert answer.json()["updated_at"] is None
    entry = await last_entry(site)
    assert (entry["action"], entry["detail"]) == ("settings.reset", {"value": [12, 30]})
    assert site.gateway.services.settings.queue.aging_seconds == 30
    problem(await site.admin.delete(f"{PATH}/queue.aging_seconds"), 404, "not_found")


async def test_who_has_read_an_older_value_does_not_overwrite_a_newer_one(site: Site) -> None:
    tag = (await site.admin.get(f"{PATH}/levels.user")).headers["etag"]
    assert (await site.admin.put(f"{PATH}/levels.user", json={"value": 4})).headers["etag"] != tag
    answer = await site.admin.put(f"{PATH}/levels.user", json={"value": 5}, headers={"if-match": tag})
    problem(answer, 412, "precondition_failed")
    problem(await site.admin.delete(f"{PATH}/levels.user", headers={"if-match": tag}), 412, "precondition_failed")
    assert (await shown(site, "levels.user"))["value"] == 4


async def test_it_holds_after_a_restart_and_what_is_not_usable_any_more_does_not_stop_the_start(tmp_path: Path) -> None:
    async with run_site(tmp_path / "state") as site:
        await put(site, "queue.deadline_seconds", 77)
        async with site.gateway.services.database.begin() as tx:
            for key, value in (("queue.unheard_of", 1), ("server.port", 1), ("levels.user", 9), ("log.level", 5)):
                await stored.put(tx, key, value, by="another version")
            garbled = {"key": "levels.api_key", "value": "{5", "updated_at": utc_now(), "updated_by": "by hand"}
            await tx.execute(stored.settings.insert().values(garbled))
    async with run_site(tmp_path / "state", users_exist=True) as site:
        settings = site.gateway.services.settings
        assert (settings.queue.deadline_seconds, settings.levels.user) == (77, 3)
        assert (await shown(site, "levels.user"))["origin"] == "default"
        assert (await shown(site, "levels.api_key"))["origin"] == "default"
        assert (await site.admin.delete("/admin/v1/settings/levels.api_key")).status_code == 200


async def test_another_daemon_of_the_same_database_follows_within_five_seconds(tmp_path: Path) -> None:
    async with run_site(tmp_path / "state") as one, run_site(tmp_path / "state", users_exist=True) as two:
        await put(one, "queue.aging_seconds", 7)
        async with asyncio.timeout(5):
            while two.gateway.services.settings.queue.aging_seconds != 7:
                await asyncio.sleep(0)
        assert (await shown(two, "queue.aging_seconds"))["updated_by"] == "root"


# -- precedence ----------------------------------------------------------------------------


@asynccontextmanager
async def configured(
    tmp_path: Path, text: str, environ: Mapping[str, str] = {}, flags: Mapping[str, Any] = {}
) -> AsyncIterator[tuple[Site, Path]]:
    """A site with a configuration file."""
    path = tmp_path / "llmgate.toml"
    path.write_text(text)
    async with run_site(tmp_path / "state", loaded=load(path, flags, environ)) as site:
        yield site, path


async def test_flag_environment_and_file_go_before_the_database_and_say_so(tmp_path: Path) -> None:
    text = "[queue]\naging_seconds = 11\nsettle_ms = 1\n[server]\ndrain_seconds = 3\n"
    environ = {"LLMGATE_QUEUE__AGED_SHARE": "0.5"}
    async with configured(tmp_path, text, environ, {"server": {"drain_seconds": 4}}) as (site, path):
        async with site.gateway.services.database.begin() as tx:  # from before the file said anything
            await stored.put(tx, "queue.aging_seconds", 99, by="somebody")
            await stored.bump(tx)
        for key, value, origin, who in (
            ("queue.aging_seconds", 11, "file", str(path)),
            ("queue.aged_share", 0.5, "environment", "LLMGATE_QUEUE__AGED_SHARE"),
            ("server.drain_seconds", 4, "flag", "command line"),
        ):
            found = await shown(site, key)
            assert (found["value"], found["origin"], found["mutable"]) == (value, origin, False)
            assert who in found["reason"]
            answer = await site.admin.put(f"{PATH}/{key}", json={"value": 1})
            document = problem(answer, 409, "read_only")
            assert who in document["detail"]
            assert document["hint"]
            assert (await shown(site, key))["value"] == value
        # What an older change has left there can be cleared away.
        assert (await site.admin.delete(f"{PATH}/queue.aging_seconds")).json()["value"] == 11


# -- reading the file again ----------------------------------------------------------------


async def reload(site: Site, **query: str) -> dict[str, Any]:
    answer = await site.admin.post(f"{PATH}/reload", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_reload_takes_over_what_can_be_and_names_what_needs_a_restart(tmp_path: Path) -> None:
    async with configured(tmp_path, "[queue]\naging_seconds = 11\n") as (site, path):
        await put(site, "levels.user", 4)
        path.write_text(
            '[queue]\nwindow = 100\n[levels]\nuser = 5\n[server]\nport = 4711\n'
            '[[upstreams]]\nname = "new"\nurl = "http://127.0.0.1:9"\n'
        )  # fmt: skip
        found = await reload(site)
        assert found["path"] == str(path)
        changed = {change["key"]: (change["before"], change["after"]) for change in found["changed"]}
        assert changed["queue.aging_seconds"] == (11, 30)
        assert changed["levels.user"] == (4, 5)
        assert changed["upstreams"] == (["fake"], ["new"])
        assert set(found["needs_restart"]) >= {"queue.window", "server.port"}
        services = site.gateway.services
        assert services.settings.queue.aging_seconds == 30
        assert services.settings.queue.window == 2000
        assert [status.name for status in services.upstreams.status()] == ["new"]
        assert (await shown(site, "levels.user"))["origin"] == "file"
        assert (await shown(site, "queue.aging_seconds"))["mutable"]
        entry = await last_entry(site)
        assert entry["action"] == "settings.reload"
        assert entry["detail"]["changed"]["levels.user"] == [4, 5]
        again = await reload(site)
        assert again["changed"] == []
        assert set(again["needs_restart"]) == set(found["needs_restart"])


async def test_a_bad_configuration_never_replaces_a_good_one(tmp_path: Path) -> None:
    async with configured(tmp_path, "[queue]\naging_seconds = 11\n") as (site, path):
        for text, says in (
            ("[queue]\naging_seconds = 5\nsettle_ms = -1\n", "queue.settle_ms"),
            ("[queue]\naging_second = 5\n", "Did you mean 'aging_seconds'?"),
            ("[queue\n", "not valid TOML"),
        ):
            path.write_text(text)
            before = site.gateway.services.settings
            document = problem(await site.admin.post(f"{PATH}/reload"), 409, ConfigError.code)
            assert says in document["detail"]
            assert str(path) in document["detail"]
            assert site.gateway.services.settings is before
        path.unlink()
        assert "Cannot read" in problem(await site.admin.post(f"{PATH}/reload"), 409, ConfigError.code)["detail"]
        assert site.gateway.services.settings.queue.aging_seconds == 11


async def test_without_a_file_a_reload_says_that_there_is_nothing_to_read(site: Site) -> None:
    found = await reload(site)
    assert (found["reloadable"], found["changed"], found["path"]) == (False, [], None)


# -- that everything sees it ---------------------------------------------------------------


async def test_levels_hold_for_who_was_known_before(site: Site) -> None:
    assert (await site.user.get("/gate/auth/me")).json()["level"] == 3
    await put(site, "levels.user", 5)
    assert (await site.user.get("/gate/auth/me")).json()["level"] == 5
    await put(site, "levels.api_key", 4)
    me = await site.gateway.client.get("/gate/auth/me")
    assert me.json()["level"] == 4


async def test_registration_can_be_closed_and_opened(site: Site) -> None:
    token = (await site.made("tokens"))["token"]
    body = {"token": token, "name": "eve", "password": PASSWORD}
    await put(site, "auth.registration", False)
    document = problem(await site.nobody.post("/gate/auth/register", json=body), 403, "forbidden")
    assert "closed" in document["detail"]
    problem(await site.nobody.post("/gate/auth/register", json={**body, "token": "nonsense"}), 403, "forbidden")
    await put(site, "auth.registration", True)
    assert (await site.nobody.post("/gate/auth/register", json=body)).status_code == 201


async def test_a_whitelisted_address_needs_a_credential_once_the_whitelist_is_off(site: Site) -> None:
    await site.made("whitelist", cidr="127.0.0.1/32", label="home", level=2)
    assert (await site.nobody.get("/gate/auth/me")).json()["level"] == 2
    answer = await site.admin.put(f"{PATH}/auth.whitelist", json={"value": False})
    assert "127.0.0.1" in problem(answer, 409, "would_lock_out")["detail"]
    assert (await site.nobody.get("/gate/auth/me")).status_code == 200
    await put(site, "auth.whitelist", False, force="true")
    problem(await site.nobody.get("/gate/auth/me"), 401, "unauthenticated")
    assert (await site.admin.delete(f"{PATH}/auth.whitelist")).status_code == 200
    assert (await site.nobody.get("/gate/auth/me")).status_code == 200


async def test_what_an_address_without_credential_is_running_ends_with_the_whitelist(site: Site) -> None:
    await site.made("whitelist", cidr="127.0.0.1/32")
    site.ollama.script(Script(hang=True))
    asking = asyncio.create_task(site.nobody.post("/api/chat", json=CHAT))
    await site.ollama.request(0)
    await put(site, "auth.whitelist", False, force="true")
    assert (await asking).status_code == 401


async def test_a_reload_that_would_lock_its_caller_out_is_refused(tmp_path: Path) -> None:
    async with configured(tmp_path, "") as (site, path):
        await site.made("whitelist", cidr="127.0.0.1/32")
        path.write_text("[auth]\nwhitelist = false\n")
        problem(await site.admin.post(f"{PATH}/reload"), 409, "would_lock_out")
        path.write_text("[levels]\nwhitelist = 5\n")
        problem(await site.admin.post(f"{PATH}/reload"), 409, "would_lock_out")
        assert (await reload(site, force="true"))["changed"][0]["key"] == "levels.whitelist"


async def test_the_life_of_sessions_and_the_length_of_passwords_follow(site: Site) -> None:
    await put(site, "auth.session_minutes", 2)
    assert (await site.login("ada")).json()["expires_in"] == 120
    await put(site, "auth.password_min_length", 30)
    answer = await site.admin.post("/admin/v1/users", json={"name": "eve", "password": PASSWORD})
    assert "30 characters" in problem(answer, 400, "invalid_request")["detail"]


async def test_the_bounds_of_requests_follow(site: Site) -> None:
    await put(site, "server.max_body_bytes", 1024)
    answer = await site.gateway.post("/api/chat", {**CHAT, "padding": "x" * 2000})
    assert answer.status_code == 413
    await put(site, "server.max_body_bytes", 100_000)
    assert (await site.gateway.post("/api/chat", {**CHAT, "padding": "x" * 2000})).status_code == 200


async def test_health_is_watched_by_the_new_times(site: Site) -> None:
    await put(site, "health.interval", 0.05)
    asked = len(site.ollama.reads)
    await site.ollama.wait_for(lambda: len(site.ollama.reads) > asked + 9)


async def test_waiting_requests_follow_the_new_deadline(site: Site) -> None:
    site.ollama.script(Script(hang=True))
    first = asyncio.create_task(site.gateway.post("/api/chat", CHAT))
    await site.ollama.request(0)
    second = asyncio.create_task(site.gateway.post("/api/chat", CHAT))
    await site.gateway.waiting(1)
    await put(site, "queue.deadline_seconds", 0.2)
    assert (await second).status_code == 504
    first.cancel()


def test_the_log_level_can_be_changed_while_loggers_are_in_use(capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    try:
        configure_logging(LogSettings(level="warning", format="json"))
        log = structlog.get_logger("test")
        log.info("hidden")
        set_log_level("debug")
        log.debug("seen")
        set_log_level("error")
        log.warning("hidden")
        log.error("seen_too")
    finally:
        structlog.reset_defaults()
        root.setLevel(before[0])
        root.handlers[:] = before[1]
    err = capfd.readouterr().err
    assert "hidden" not in err
    assert '"seen"' in err
    assert '"seen_too"' in err
