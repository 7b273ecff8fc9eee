"""`llmgate init`: everything is checked before anything is written."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.cli.harness import Result, llmgate

PASSWORD = "correct-horse-battery"


async def init(tmp_path: Path, *more: str, stdin: str = PASSWORD, state: bool = True) -> Result:
    arguments = ["init", "--config", str(tmp_path / "my.toml"), *more]
    if state:
        arguments += ["--state-dir", str(tmp_path / "state")]
    return await llmgate(*arguments, stdin=stdin)


@pytest.mark.parametrize(
    ("more", "stdin", "part"),
    [
        (("--password-stdin",), "short", "shorter than 10"),
        (("--password-stdin", "--upstream", "localhost"), PASSWORD, "http://host:port"),
        (("--password-stdin", "--admin", "no spaces"), PASSWORD, "name"),
    ],
)
async def test_what_is_wrong_is_told_before_anything_is_written(
    tmp_path: Path, more: tuple[str, ...], stdin: str, part: str
) -> None:
    wrong = await init(tmp_path, *more, stdin=stdin)
    assert wrong.code == 6, wrong.err
    assert part in wrong.err
    assert not (tmp_path / "my.toml").exists()
    assert not (tmp_path / "state").exists()


async def test_a_password_that_cannot_be_had_is_an_error_like_everywhere(tmp_path: Path) -> None:
    missing = await init(tmp_path, "--password-file", str(tmp_path / "nonexistent"))
    assert missing.code == 1
    assert "nonexistent cannot be read" in missing.err
    nobody = await init(tmp_path)
    assert nobody.code == 2
    assert "--password-stdin" in nobody.err
    assert not (tmp_path / "my.toml").exists()


async def test_flags_that_an_existing_file_would_ignore_are_refused(tmp_path: Path) -> None:
    (await init(tmp_path, "--password-stdin", "--port", "8080", "--slots", "3")).ok()
    text = (tmp_path / "my.toml").read_text()
    written = tomllib.loads(text)
    assert (written["server"]["port"], written["upstreams"][0]["slots"]) == (8080, 3)
    ignored = await init(tmp_path, "--password-stdin", "--port", "9090", state=False)
    assert ignored.code == 6
    assert f"{tmp_path / 'my.toml'} exists, and --port" in ignored.err
    assert (tmp_path / "my.toml").read_text() == text


async def test_without_an_administrator_made_no_file_is_left(tmp_path: Path) -> None:
    (await init(tmp_path, "--password-stdin")).ok()
    (tmp_path / "my.toml").unlink()
    again = await init(tmp_path, "--password-stdin")
    assert again.code == 6
    assert "administrator already" in again.err
    assert not (tmp_path / "my.toml").exists()


async def test_any_path_can_be_written_down(tmp_path: Path) -> None:
    odd = tmp_path / 'a "quoted" \\ path'
    (await init(tmp_path, "--password-stdin", "--state-dir", str(odd), state=False)).ok()
    assert tomllib.loads((tmp_path / "my.toml").read_text())["state"]["dir"] == str(odd)
