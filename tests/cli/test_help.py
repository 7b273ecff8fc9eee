"""Help, version, and how a command that is typed wrongly is told."""

from __future__ import annotations

import re

from tests.cli.harness import llmgate


async def test_help_has_a_short_name_and_flags_show_no_type() -> None:
    for command in ((), ("users",), ("keys", "update"), ("serve",), ("init",)):
        shown = (await llmgate(*command, "-h")).ok().out
        assert "Usage: llmgate" in shown
        assert "<bool>" not in shown
    options = (await llmgate("users", "create", "-h")).ok().out
    assert re.search(r"--password-file +FILE", options)
    assert "{NAME}" in options


async def test_the_version_is_a_flag_and_a_command_and_can_be_json() -> None:
    version = (await llmgate("version")).ok().out
    assert (await llmgate("--version")).ok().out == version
    assert (await llmgate("version", "-o", "json")).ok().json == {"version": version.strip()}


async def test_an_error_of_usage_is_json_where_json_is_wanted() -> None:
    for wrong in (("users", "frob"), ("keys", "create", "x", "--level", "9"), ("users", "show"), ("users", "--odd")):
        told = await llmgate(*wrong, "-o", "json")
        assert (told.code, told.out) == (2, "")
        assert told.error["message"]


async def test_without_a_command_the_help_is_shown_and_that_is_an_error() -> None:
    shown = await llmgate()
    assert shown.code == 2
    assert "whitelist" in shown.out + shown.err
