"""The CLI twins: what they look like, and that a command line takes them."""

from __future__ import annotations

import shlex

import pytest

from llmgate.tui.twin import aimed, forced, twin
from tests.tui.harness import parses


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (twin("sessions revoke --user", "-bob"), ["--user=-bob"]),
        (twin("sessions revoke --user", "bob"), ["--user", "bob"]),
        (twin("keys create", "x", options=["--user", "-bob"]), ["--user", "-bob", "x"]),
        (twin("users show", "-bob"), ["--", "-bob"]),
    ],
)
def test_names_that_begin_with_a_dash_are_no_options(command: str, words: list[str]) -> None:
    assert shlex.split(command)[3:] == words
    parses(command)


def test_force_is_an_option_whatever_is_in_quotes() -> None:
    command = forced(twin("settings set", "server.cors_origins", "a -- b"))
    assert shlex.split(command) == ["llmgate", "settings", "set", "server.cors_origins", "a -- b", "--force"]
    assert shlex.split(forced(twin("users delete", "-bob"))) == ["llmgate", "users", "delete", "--force", "--", "-bob"]


def test_a_daemon_is_named_once_and_only_where_it_is_meant() -> None:
    office = ("--context", "office")
    aimed_at = aimed(twin("users show", "-bob"), office)
    assert aimed_at == "llmgate --context office users show -- -bob"
    assert parses(aimed_at) == "users show"
    assert aimed(aimed_at, ("--url", "http://127.0.0.1:9")) == aimed_at
    assert aimed(twin("users list"), ()) == "llmgate users list"
    for command in (twin("context use", "lab"), twin("login", options=["--context", "lab"])):
        assert aimed(command, office) == command
