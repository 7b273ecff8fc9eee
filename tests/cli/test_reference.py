"""docs/cli.md tells of the commands as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from llmgate.cli import nouns
from llmgate.cli.main import build
from tests.tools.cli_reference import reference

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_document_is_what_the_program_says() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == reference(), "Write it anew with: make docs"


def test_the_document_depends_on_nothing_but_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = reference()
    for width in ("40", "200"):
        monkeypatch.setenv("COLUMNS", width)
        monkeypatch.setenv("CLICOLOR_FORCE", "1")
        assert reference() == plain
    assert plain.isprintable() or "\x1b" not in plain


def test_the_help_of_the_program_says_of_each_noun_what_the_noun_says() -> None:
    told = {name: entry.summary for name, entry in nouns.NOUNS.items()}
    assert {name: entry.load().info.help for name, entry in nouns.NOUNS.items()} == told
    assert {name: entry.load().info.name for name, entry in nouns.NOUNS.items()} == {name: name for name in told}


def test_the_help_of_the_program_says_of_each_command_what_the_command_says() -> None:
    command: Any = get_command(build())
    context = typer.Context(command, info_name="llmgate")
    for name, entry in nouns.COMMANDS.items():
        assert command.get_command(context, name).help.startswith(entry.summary), name
