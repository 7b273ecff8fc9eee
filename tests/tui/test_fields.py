"""Forms and their CLI twins, without a terminal."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from llmgate import schemas
from llmgate.tui.forms import Field, Form, Kind
from llmgate.tui.forms.common import level
from llmgate.tui.forms.fields import fill, parts
from llmgate.tui.twin import forced, twin


async def nothing(client: Any, body: Any, force: bool) -> None:
    """Where nothing is sent."""


NEW = Form(
    "New user",
    "users create",
    (
        Field("name", "name", None, required=True),
        Field("password", "password", "--password-stdin", Kind.SECRET, SecretStr, required=True, repeated=True),
        Field("role", "role", "--role", Kind.CHOICE, was="user", choices=("user", "admin")),
        level(),
    ),
    nothing,
    schemas.UserCreate,
)
CHANGE = Form(
    "Change",
    "users update",
    (
        Field("name", "name", "--name", was="ada"),
        level(3, cleared="--default-level"),
        Field("disabled", "disabled", "--disable/--enable", Kind.SWITCH, was="off"),
    ),
    nothing,
    schemas.UserUpdate,
    target=("ada",),
    changes=True,
)


def test_what_nobody_has_touched_is_neither_sent_nor_told() -> None:
    found = fill(NEW, {"name": "grace", "password": "correct horse"})
    assert found.complete
    assert found.body is not None
    assert found.body.model_dump(exclude_unset=True).keys() == {"name", "password"}
    assert found.twin == "llmgate users create --password-stdin grace"
    assert "horse" not in repr(found.body)


def test_what_is_wrong_is_told_by_field() -> None:
    assert set(fill(NEW, {}).faults) == {"name", "password"}
    assert set(fill(NEW, {"name": "x" * 300, "password": "correct horse"}).faults) == {"name"}
    assert "Nothing is changed" in fill(CHANGE, {}).faults[""]
    assert fill(CHANGE, {"name": ""}).faults == {"name": "cannot be empty"}


def test_only_what_differs_is_sent_of_a_change_and_what_is_emptied_is_cleared() -> None:
    found = fill(CHANGE, {"name": "ada", "level": "", "disabled": "on"})
    assert found.values == {"level": None, "disabled": True}
    assert found.twin == "llmgate users update --default-level --disable ada"
    assert fill(CHANGE, {"disabled": "off", "level": "3"}).faults == {"": "Nothing is changed yet."}
    assert fill(CHANGE, {"level": "2"}).twin == "llmgate users update --level 2 ada"


def test_words_are_parted_by_commas_and_spaces() -> None:
    assert parts(" a, b,,c\td ") == ["a", "b", "c", "d"]


def test_a_secret_is_never_in_the_twin_and_its_option_is_there_once() -> None:
    twice = Form(
        "Password",
        "passwd",
        (
            Field("current", "current", "--password-stdin", Kind.SECRET),
            Field("password", "new", "--password-stdin", Kind.SECRET),
        ),
        nothing,
    )
    assert fill(twice, {"current": "one", "password": "two"}).twin == "llmgate passwd --password-stdin"
    assert fill(twice, {"current": " one ", "password": "two"}).values["current"] == " one "


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1), max_size=4))
def test_a_shell_reads_of_a_twin_what_was_meant(words: list[str]) -> None:
    read = shlex.split(twin("keys show", *words, options=["--limit", "3"]))
    guard = ["--"] if any(word.startswith("-") for word in words) else []
    assert read == ["llmgate", "keys", "show", "--limit", "3", *guard, *words]


@pytest.mark.parametrize("word", ["a\x1b[2J", "\u202egnp.exe", "x\ny"])
def test_a_twin_is_harmless_to_look_at(word: str) -> None:
    assert twin("users show", word).isprintable()


def test_force_goes_before_the_words() -> None:
    assert forced(twin("users delete", "ada")) == "llmgate users delete ada --force"
    assert forced(twin("users delete", "-x")) == "llmgate users delete --force -- -x"
