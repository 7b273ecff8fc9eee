"""The line behind the slash, without a terminal."""

from __future__ import annotations

import pytest

from llmgate.tui.filters import Filter, completed, level, read, suggestions, truth

FILTERS = (
    Filter("level", tuple("12345"), level),
    Filter("live", ("yes", "no"), truth),
    Filter("model", hint="MODEL", field="model_name"),
)


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ("", {}),
        ("  ", {}),
        ("ada", {"search": "ada"}),
        ("ada love", {"search": "ada love"}),
        ('"ada  love"', {"search": "ada  love"}),
        ("level:2 ada", {"level": 2, "search": "ada"}),
        ("live:no", {"live": False}),
        ("model:llama3.2:1b", {"model_name": "llama3.2:1b"}),
        ('model:"a b"', {"model_name": "a b"}),
        ("live:", {}),
        ("10.0.0.1:80", {"search": "10.0.0.1:80"}),
        ('"other:x"', {"search": "other:x"}),
        ("llama3.2:latest", {"search": "llama3.2:latest"}),
        ("fd00::1", {"search": "fd00::1"}),
        ("it's", {"search": "it's"}),
    ],
)
def test_words_are_searched_for_and_names_filter(line: str, meaning: dict[str, object]) -> None:
    assert read(line, FILTERS, "search") == meaning


@pytest.mark.parametrize("line", ["level:9", "live:maybe", "level:x"])
def test_a_value_that_no_filter_takes_is_said(line: str) -> None:
    with pytest.raises(ValueError, match="is one of"):
        read(line, FILTERS, "search")


@pytest.mark.parametrize("line", ["ada", "other:x"])
def test_where_nothing_is_searched_for_only_names_are_taken(line: str) -> None:
    with pytest.raises(ValueError, match="level, live, model"):
        read(line, FILTERS, None)


def test_a_name_that_no_filter_has_is_said_where_there_are_filters() -> None:
    with pytest.raises(ValueError, match="no filter 'who'"):
        read("who:adm", FILTERS, "search")
    assert read("mistral:7b", (), "search") == {"search": "mistral:7b"}


def test_the_last_word_is_completed() -> None:
    assert suggestions(FILTERS)[-1] == "model:"
    assert completed(FILTERS, "li") == "live:yes"
    assert completed(FILTERS, "level:2 live:n") == "level:2 live:no"
    assert completed(FILTERS, "ada ") is None
    assert completed(FILTERS, "live:no") is None
    assert completed(FILTERS, "xyz") is None
