"""`llmgate config` on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.harness import llmgate

TEXT = """
[server]
port = 8080
[database]
url = "postgresql://u:hunter2@h/n"
[[upstreams]]
name = "gpu"
url = "http://gpu:11434"
api_key = "sk-hunter2"
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "my.toml"
    path.write_text(TEXT)
    return str(path)


@pytest.fixture
def bad_file(tmp_path: Path) -> str:
    path = tmp_path / "bad.toml"
    path.write_text("[server]\nprot = 1\n")
    return str(path)


async def test_every_setting_is_shown_with_its_origin_and_secrets_masked(
    file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMGATE_SERVER__HOST", "::1")
    rows = (await llmgate("config", "show", "--config", file, "-o", "json")).ok().json
    shown = {row["key"]: (row["value"], row["origin"]) for row in rows}
    assert shown["server.port"] == (8080, "file")
    assert shown["server.host"] == ("::1", "environment")
    assert shown["queue.aging_seconds"] == (30, "default")
    assert shown["upstreams[0].url"] == ("http://gpu:11434", "file")
    assert shown["upstreams[0].slots"] == (1, "default")
    assert shown["upstreams[0].pool"] == ("gpu", "default")
    table = (await llmgate("config", "show", "--config", file, "--origin")).ok().out
    assert "8080" in table
    assert "hunter2" not in str(rows) + table


async def test_a_usable_file_is_said_to_be_usable(file: str) -> None:
    assert "usable" in (await llmgate("config", "check", "-c", file)).ok().err


async def test_a_bad_file_is_exit_6_with_the_place_and_the_fix(bad_file: str) -> None:
    bad = await llmgate("config", "check", "-c", bad_file, "-o", "json")
    assert (bad.code, bad.error["code"]) == (6, "config_invalid")
    assert "Did you mean 'port'?" in bad.error["message"]


async def test_the_file_in_use_is_printed(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMGATE_CONFIG", file)
    assert (await llmgate("config", "path")).ok().out == f"{file}\n"
    monkeypatch.delenv("LLMGATE_CONFIG")
    monkeypatch.setattr("llmgate.cli.serve.CONFIG_PLACES", ())
    assert (await llmgate("config", "path")).code == 5
