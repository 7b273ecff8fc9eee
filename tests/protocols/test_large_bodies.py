"""What a large body may cost: the time to read it grows with its size, and with nothing else."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgate.daemon.protocols.bodies import INLINE_BYTES, dump_body, parse_body, parse_body_async
from llmgate.daemon.protocols.nodes import MAX_VALUES, SLICE_BYTES, values_in
from llmgate.errors import InvalidRequest


def test_a_key_that_appears_twice_among_many_is_found_in_one_pass() -> None:
    keys = ",".join(f'"{number:x}":1' for number in range(40_000))
    with pytest.raises(InvalidRequest, match="'9c3f' appears twice"):
        parse_body(f'{{{keys},"9c3f":2}}'.encode())


@pytest.mark.parametrize("value", [b"1", b"[]", b"{}", b'""', b"[[]]", b'{"":0}', b"1 \n"])
def test_a_body_of_too_many_values_is_refused_before_it_is_parsed(value: bytes) -> None:
    raw = b'{"model":"m","input":[' + (value + b",") * MAX_VALUES + b"not JSON"
    with pytest.raises(InvalidRequest, match="more than 200000 values"):
        parse_body(raw)


def test_as_many_token_ids_as_are_allowed_pass() -> None:
    raw = dump_body({"model": "m", "input": list(range(MAX_VALUES - 2))})
    assert len(parse_body(raw)["input"]) == MAX_VALUES - 2


@pytest.mark.parametrize(
    "text",
    [
        "one, two, " * 500_000,
        'she said: "[{,:}]", ' * 200_000,
        "\\" * 1_000_001 + "," * 1_000_000,
        '\\"' * 500_000 + "[" * 1_000_000,
        "iVBORw0KGgo" * 500_000,
    ],
)
def test_a_long_text_or_an_image_passes_whatever_is_written_in_it(text: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": text, "images": [text]}]}
    assert parse_body(dump_body(body)) == body


@given(
    st.recursive(
        st.none() | st.integers() | st.text(alphabet='\\"[]{},:a'),
        lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.text(alphabet='\\",['), inner, min_size=1),
        max_leaves=30,
    ),
    st.integers(1, 7),
)
def test_values_are_counted_wherever_the_slices_are_cut(value: object, size: int) -> None:
    def counted(node: object) -> int:
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        return sum(1 + counted(item) for item in inner)

    raw = dump_body({"x": value})
    assert values_in(raw, size) == values_in(raw, SLICE_BYTES) == counted({"x": value})


async def test_of_many_large_bodies_at_most_two_are_parsed_at_once() -> None:
    raw = dump_body({"model": "m", "prompt": "x" * INLINE_BYTES})
    bodies = await asyncio.gather(*(parse_body_async(raw) for _ in range(8)))
    assert all(len(body["prompt"]) == INLINE_BYTES for body in bodies)
    assert 1 <= sum(thread.name.startswith("large-body") for thread in threading.enumerate()) <= 2


def test_large_bodies_are_parsed_in_one_event_loop_after_another() -> None:
    raw = dump_body({"model": "m", "prompt": "x" * INLINE_BYTES})
    for _ in range(2):
        assert asyncio.run(parse_body_async(raw))["model"] == "m"


def test_an_integer_that_no_program_could_mean_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidRequest, match="too many digits"):
        parse_body(b'{"model":"m","input":[' + b"1" * 401 + b"]}")
    assert parse_body(b'{"a":-' + b"9" * 300 + b"}") == {"a": -(10**300 - 1)}
