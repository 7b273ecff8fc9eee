"""Bodies are read strictly: nothing is forwarded that Go would read differently."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgate.daemon.protocols.bodies import (
    INLINE_BYTES,
    MAX_DEPTH,
    dump_body,
    normalise_model,
    parse_body,
    parse_body_async,
    quoted,
)
from llmgate.errors import InvalidRequest

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (b"", "not valid JSON"),
        (b'{"model":"a"', "not valid JSON"),
        (b'{"model":"a"} x', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'"model"', "must be a JSON object"),
        (b'{"model":"\xff"}', "not valid UTF-8"),
        (b'{"model":"a","model":"b"}', "appears twice"),
        (b'{"a":[{"b":{"c":1,"c":1}}]}', "appears twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":' + b"1" * 5000 + b"}", "too many digits"),
        (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "nested deeper"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper"),
        (b'{"a":' * 100_000, "nested deeper"),
    ],
)
def test_a_body_that_is_not_one_strict_json_object_is_refused(raw: bytes, complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        parse_body(raw)


@pytest.mark.parametrize(
    "raw",
    [
        '{"Model":"a"}',
        '{"model":"a","MODEL":"b"}',
        '{"\u017ftream":true}',
        '{"me\u017f\u017fages":[]}',
        '{"\u212aeep_alive":0}',
        '{"\\u212aeep_alive":0}',
        '{"x_custom":1,"X_Custom":2}',
        '{"options":{},"option\u017f":{}}',
    ],
)
def test_keys_that_go_would_take_for_another_are_refused(raw: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_body(raw.encode())


def test_unknown_keys_pass_and_only_judged_ones_must_be_written_exactly() -> None:
    assert parse_body(b'{"X-Custom":1,"model":"a"}') == {"X-Custom": 1, "model": "a"}


def test_case_matters_below_the_top_level() -> None:
    assert parse_body(b'{"options":{"A":1,"a":2}}') == {"options": {"A": 1, "a": 2}}


def test_nesting_up_to_the_bound_is_fine_also_with_many_brackets() -> None:
    depth = MAX_DEPTH - 1
    raw = b'{"a":' + b"[" * depth + b"]" * depth + b',"b":[' + b"{}," * 200 + b"{}]}"
    assert len(parse_body(raw)["b"]) == 201


async def test_a_large_body_is_parsed_in_a_thread_with_the_same_result() -> None:
    raw = dump_body({"model": "a", "prompt": "x" * INLINE_BYTES})
    assert await parse_body_async(raw) == parse_body(raw)
    with pytest.raises(InvalidRequest):
        await parse_body_async(raw + b"x")


@given(st.dictionaries(st.text(max_size=8).filter(lambda key: key == key.casefold()), JSON_VALUES, max_size=6))
def test_what_is_forwarded_is_what_was_judged(body: dict[str, object]) -> None:
    assert parse_body(dump_body(body)) == body


@given(st.binary(max_size=200))
def test_hostile_bytes_give_an_object_or_invalid_request(raw: bytes) -> None:
    with suppress(InvalidRequest):
        assert isinstance(parse_body(raw), dict)


def test_a_lone_surrogate_is_forwarded_as_it_came() -> None:
    raw = b'{"prompt":"\\ud83d"}'
    assert dump_body(parse_body(raw)) == raw


def test_an_error_never_repeats_much_of_what_the_client_sent() -> None:
    key = "k" * 10_000
    with pytest.raises(InvalidRequest) as caught:
        parse_body(json.dumps({key: 1})[:-1].encode() + b',"' + key.encode() + b'":2}')
    assert len(caught.value.text()) < 150
    assert quoted("a\n\x1b[31m" + "é" * 1000).isprintable()


@pytest.mark.parametrize(
    ("name", "same_as"),
    [
        ("llama3.2", "llama3.2:latest"),
        ("Llama3.2:LATEST", "llama3.2"),
        ("library/llama3.2", "llama3.2"),
        ("registry.ollama.ai/library/llama3.2:3b", "llama3.2:3b"),
        ("https://registry.ollama.ai/library/llama3.2", "llama3.2"),
        ("registry.ollama.ai/someone/thing", "someone/thing"),
        ("hf.co/User/Model:Q4_K_M", "hf.co/user/model:q4_k_m"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
    ],
)
def test_model_names_are_compared_as_ollama_does(name: str, same_as: str) -> None:
    assert normalise_model(name) == normalise_model(same_as)


@pytest.mark.parametrize(
    ("one", "other"), [("a", "a:1b"), ("a", "b/a"), ("host/library/a", "a"), ("a:", "a"), ("library/a/b", "a/b")]
)
def test_different_models_stay_different(one: str, other: str) -> None:
    assert normalise_model(one) != normalise_model(other)


def test_a_name_of_ten_thousand_characters_is_refused_briefly() -> None:
    with pytest.raises(InvalidRequest) as caught:
        normalise_model("m" * 10_000)
    assert len(caught.value.text()) < 100


def test_a_usual_body_costs_no_more_than_a_few_plain_parses() -> None:
    raw = dump_body({"model": "m", "messages": [{"role": "user", "content": "word " * 40}] * 10})

    def best(parse: object) -> float:
        def once() -> float:
            start = time.perf_counter()
            for _ in range(200):
                parse(raw)  # type: ignore[operator]  # both take bytes
            return time.perf_counter() - start

        return min(once() for _ in range(5))

    assert best(parse_body) < 8 * best(json.loads)
