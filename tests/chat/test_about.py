"""What a page learns before anybody has logged in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from llmgate import __version__
from llmgate.config import ChatSettings, ServerSettings
from llmgate.daemon.store import users
from tests.admin.harness import PASSWORD, Site, run_site
from tests.fakes import FakeOllama
from tests.gateway.harness import run_gateway, settings_for, upstream_for

ABOUT = "/gate/about"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with run_site(tmp_path / "state") as running:
        yield running


async def test_nobody_is_told_what_a_page_needs_and_no_version(site: Site) -> None:
    answer = await site.nobody.get(ABOUT)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "version": "",
        "registration": True,
        "setup_needed": False,
        "password_min_length": 10,
        "conversations": True,
        "conversation_days": 90,
        "cookies": True,
    }
    wrong = await site.nobody.get(ABOUT, headers={"authorization": "Bearer nonsense"})
    assert wrong.json() == answer.json(), "whoever must log in again has to be told how"


async def test_who_has_a_credential_is_told_the_version(site: Site) -> None:
    assert (await site.user.get(ABOUT)).json()["version"] == __version__
    by_key = await site.nobody.get(ABOUT, headers={"x-api-key": site.gateway.key})
    assert by_key.json()["version"] == __version__


async def test_it_follows_the_settings(site: Site) -> None:
    for key, value in (("auth.registration", False), ("auth.password_min_length", 12), ("chat.conversation_days", 0)):
        answer = await site.admin.put(f"/admin/v1/settings/{key}", json={"value": value})
        assert answer.status_code == 200, answer.text
    told = (await site.nobody.get(ABOUT)).json()
    assert (told["registration"], told["password_min_length"]) == (False, 12)
    assert (told["conversations"], told["conversation_days"]) == (False, 0)


async def test_setup_is_needed_until_there_is_an_administrator_and_never_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeOllama() as ollama:
        settings = settings_for(tmp_path / "state", [upstream_for(ollama)])
        settings = settings.model_copy(update={"chat": ChatSettings(conversation_days=7)})
        async with run_gateway(settings) as gateway:
            for _ in range(2):
                assert (await gateway.client.get(ABOUT)).json()["setup_needed"] is True
            token = await gateway.services.first_admin.prepare()
            body = {"token": token, "name": "root", "password": PASSWORD}
            made = await gateway.post("/gate/auth/setup", body)
            assert made.status_code == 201, made.text
            assert (await gateway.client.get(ABOUT)).json()["setup_needed"] is False
            # What is true for ever is not asked of the database again.
            monkeypatch.setattr(users, "any_admin", lambda tx: pytest.fail("asked the database"))
            told = await gateway.client.get(ABOUT)
            assert told.json()["setup_needed"] is False
            assert told.json()["conversation_days"] == 7


@pytest.mark.parametrize(
    ("server", "host", "cookies"),
    [
        ({"public_url": "https://llm.example"}, "llm.example", True),
        ({"public_url": "http://llm.lan"}, "llm.lan", False),
        ({"public_url": "http://llm.lan", "allow_insecure_cookies": True}, "llm.lan", True),
        ({}, "localhost:11435", True),
        ({}, "llm.lan:11435", False),
    ],
)
async def test_a_page_learns_whether_it_can_keep_a_session(
    tmp_path: Path, server: dict[str, str | bool], host: str, cookies: bool
) -> None:
    settings = ServerSettings.model_validate({"port": 0, "drain_seconds": 5, **server})
    async with run_site(tmp_path / "state", server=settings) as site:
        assert (await site.nobody.get(ABOUT, headers={"host": host})).json()["cookies"] is cookies
