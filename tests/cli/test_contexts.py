"""The daemons that are known here."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmgate.contexts.known import create, rename
from llmgate.contexts.stored import Store
from llmgate.errors import StateUnreadable
from tests.admin.harness import Site
from tests.cli.harness import llmgate


async def current() -> str:
    return (await llmgate("context", "show", "-q")).ok().out.strip()


async def test_daemons_are_known_by_names_and_one_of_them_is_current() -> None:
    assert (await llmgate("context", "show")).code == 5
    first = await llmgate("context", "create", "office", "https://llm.example.org/", "--json")
    assert first.ok().json == {"name": "office", "url": "https://llm.example.org", "current": True, "user": None}
    await llmgate("context", "create", "lab", "http://127.0.0.1:9")
    assert await current() == "office"
    await llmgate("context", "create", "third", "http://127.0.0.1:10", "--use")
    assert await current() == "third"
    (await llmgate("context", "use", "lab")).ok()
    marked = [line for line in (await llmgate("context", "list")).ok().out.splitlines() if line.startswith("*")]
    assert len(marked) == 1
    assert "lab" in marked[0]
    (await llmgate("context", "remove", "lab", "--yes")).ok()
    assert (await llmgate("context", "list", "-q")).ok().out.split() == ["office", "third"]
    assert (await llmgate("context", "show")).code == 5


async def test_a_name_is_used_once_and_must_be_a_usable_one() -> None:
    (await llmgate("context", "create", "office", "http://127.0.0.1:9")).ok()
    assert (await llmgate("context", "create", "office", "http://127.0.0.1:10")).code == 6
    assert (await llmgate("context", "create", "Of fice", "http://127.0.0.1:10")).code == 6
    assert (await llmgate("context", "create", "lab", "ftp://127.0.0.1")).code == 6
    (await llmgate("context", "create", "lab", "http://127.0.0.1:10")).ok()
    assert (await llmgate("context", "rename", "lab", "office")).code == 6
    assert (await llmgate("context", "rename", "nothing", "else")).code == 5
    assert (await llmgate("context", "rename", "lab", "../etc")).code == 6
    assert (await llmgate("context", "list", "-q")).ok().out.split() == ["office", "lab"]


async def test_a_session_goes_with_its_context_to_another_name(root: Site) -> None:
    name = await current()
    (await llmgate("context", "rename", name, "home")).ok()
    assert (await llmgate("context", "show", "--json")).ok().json == {
        "name": "home", "url": root.url, "current": True, "user": "root",
    }  # fmt: skip
    assert len((await llmgate("users", "list", "-q")).ok().out.split()) == 2
    assert "home" in (await llmgate("auth", "status", "--json", "--fields", "credential")).ok().out


@pytest.mark.parametrize("source", ["flag", "file", "variable", "login", "none"])
async def test_the_status_says_where_the_credential_comes_from(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    secret = await site.gateway.new_key("app")
    file = tmp_path / "token"
    file.write_text(secret)
    more: tuple[str, ...] = ()
    if source == "flag":
        more = ("--token-file", str(file))
    elif source == "file":
        monkeypatch.setenv("LLMGATE_TOKEN_FILE", str(file))
    elif source == "variable":
        monkeypatch.setenv("LLMGATE_TOKEN", secret)
    elif source == "login":
        from tests.cli.conftest import login  # noqa: PLC0415

        await login(site, "ada")
    said = {"flag": str(file), "file": "LLMGATE_TOKEN_FILE", "variable": "LLMGATE_TOKEN", "login": "context default"}
    status = await llmgate("auth", "status", "--url", site.url, "--json", *more)
    assert status.code == (4 if source == "none" else 0)
    assert said.get(source, "none") in status.json["credential"]
    assert secret not in status.out + status.err


@pytest.mark.parametrize("broken", ["mkstemp", "fsync", "replace", "flock", "open"])
def test_files_that_cannot_be_used_are_told_with_path_and_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    places = {
        "mkstemp": "tempfile.mkstemp",
        "fsync": "os.fsync",
        "replace": "pathlib.Path.replace",
        "flock": "fcntl.flock",
        "open": "os.open",
    }
    store = Store(tmp_path)
    create(store, "office", "http://127.0.0.1:9")

    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(places[broken], fails)
        with pytest.raises(StateUnreadable, match=rf"{tmp_path}/.*: No space left on device\."):
            create(store, "lab", "http://127.0.0.1:10")
    assert {path.name for path in tmp_path.iterdir()} == {"contexts.toml", "lock"}
    assert list(store.contexts().urls) == ["office"]


def test_files_that_cannot_be_read_are_told_with_path_and_reason(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("contexts.toml", "credentials.json"):
        (tmp_path / name).mkdir()
    with pytest.raises(StateUnreadable, match=rf"Cannot read {tmp_path}/contexts.toml: Is a directory\."):
        store.contexts()
    with pytest.raises(StateUnreadable, match=rf"Cannot read {tmp_path}/credentials.json: Is a directory\."):
        store.session("office", "http://127.0.0.1:9")


def test_a_renamed_daemon_that_is_not_the_current_one_does_not_become_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    create(store, "office", "http://127.0.0.1:9")
    create(store, "lab", "http://127.0.0.1:10")
    rename(store, "lab", "cellar")
    assert store.contexts().current == "office"
