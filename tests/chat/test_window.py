"""What of a conversation is sent to the model, and how large the windows of models are."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmgate.config import UpstreamSettings
from llmgate.daemon.chat.window import (
    TOKENS_PER_IMAGE,
    TOKENS_PER_MESSAGE,
    Fitted,
    Windows,
    estimate,
    fit,
    reserve_of,
    weight,
    window_in,
)
from llmgate.daemon.upstreams.capabilities import Capabilities, CapabilityBook, described
from llmgate.daemon.upstreams.directory import MayUse
from tests.fakes import FakeOllama, FakeOpenAI
from tests.upstreams.support import Fleet, anything, settings_for


@dataclass(frozen=True)
class Said:
    role: str
    content: str
    images: list[str] = field(default_factory=list)


def can(context_length: int | None = None) -> Capabilities:
    return Capabilities(context_length=context_length)


def question(text: str, *images: str) -> Said:
    return Said("user", text, list(images))


def answer(text: str) -> Said:
    return Said("assistant", text)


TEXTS = st.text(max_size=60) | st.integers(0, 40).map(lambda count: "word " * count)
MESSAGES = st.builds(Said, st.sampled_from(["user", "assistant"]), TEXTS, st.lists(st.just("a picture"), max_size=1))
CONVERSATIONS = st.lists(MESSAGES, max_size=14)
WINDOWS = st.integers(0, 4000)
LIMITS = st.none() | st.integers(1, 5000)


def total(system: str | None, messages: list[Said]) -> int:
    said = TOKENS_PER_MESSAGE + estimate(system) if system else 0
    return said + sum(map(weight, messages))


# The rule


@given(st.none() | TEXTS, CONVERSATIONS, WINDOWS, LIMITS)
@example(None, [answer("a"), answer("b")], 4000, None)
@example("s", [answer("a"), question("q"), answer("b")], 4000, None)
def test_what_is_sent_is_the_end_of_the_conversation_and_begins_with_a_question(
    system: str | None, messages: list[Said], size: int, limit: int | None
) -> None:
    fitted = fit(system, messages, size, limit)
    assert fitted.messages == messages[fitted.dropped :]
    assert (fitted.kept, fitted.dropped + fitted.kept) == (len(fitted.messages), len(messages))
    if messages:
        assert fitted.messages[-1] is messages[-1]
        assert fitted.messages[0].role == "user" or all(one.role != "user" for one in messages)
    assert (fitted.notice is None) == (fitted.dropped == 0 and not fitted.overflows)
    assert fitted.overflows == (bool(messages) and total(system, fitted.messages) > size)


@given(st.none() | TEXTS, CONVERSATIONS, WINDOWS, LIMITS)
def test_it_fits_unless_it_is_the_newest_exchange_alone(
    system: str | None, messages: list[Said], size: int, limit: int | None
) -> None:
    fitted = fit(system, messages, size, limit)
    questions = sum(message.role == "user" for message in fitted.messages)
    assert questions <= 1 or total(system, fitted.messages) <= size - reserve_of(size, limit)


@given(st.none() | TEXTS, CONVERSATIONS, WINDOWS, LIMITS)
def test_nothing_is_left_out_that_would_fit(
    system: str | None, messages: list[Said], size: int, limit: int | None
) -> None:
    fitted = fit(system, messages, size, limit)
    earlier = [number for number, message in enumerate(messages[: fitted.dropped]) if message.role == "user"]
    if earlier:
        assert total(system, messages[earlier[-1] :]) > size - reserve_of(size, limit)


@given(CONVERSATIONS, WINDOWS, WINDOWS, LIMITS)
def test_a_larger_window_never_holds_less(messages: list[Said], one: int, other: int, limit: int | None) -> None:
    small, large = sorted((one, other))
    if limit is None or limit <= small // 2:
        assert fit(None, messages, small, limit).kept <= fit(None, messages, large, limit).kept


def test_whole_exchanges_are_left_out_from_the_oldest_on() -> None:
    long = "x" * 300  # 100 tokens
    talk = [question(long), answer(long), answer(long), question(long), answer(long), question("and now?")]
    per_long = weight(question(long))
    room = 2 * per_long + weight(talk[-1])
    size = math.ceil(room / 3 * 4)
    assert fit(None, talk, size).messages == talk[3:]
    assert fit(None, talk, size + 4 * 2 * per_long).messages == talk
    assert fit(None, talk, size - 2).messages == talk[-1:]


def test_an_answer_to_go_on_with_keeps_its_question_however_long() -> None:
    talk = [question("first"), answer("yes"), question("x" * 9000), answer("and so")]
    assert fit("system", talk, 512).messages == talk[2:]


def test_pictures_take_room() -> None:
    talk = [question("look", "one", "two"), answer("a cat and a dog"), question("which is larger?")]
    assert weight(talk[0]) > 2 * TOKENS_PER_IMAGE
    assert fit(None, talk, 4096).dropped == 0
    assert fit(None, talk, 3072).messages == talk[2:]


def test_the_reserve_is_the_limit_of_the_answer_or_a_quarter() -> None:
    assert reserve_of(4096, None) == 1024
    assert reserve_of(4096, 100) == 100
    assert reserve_of(4096, 1_000_000) == 2048


@pytest.mark.parametrize(
    ("dropped", "text"),
    [
        (0, None),
        (1, "The first message no longer fits into the model's window of 4,096 tokens and was left out."),
        (12, "The first 12 messages no longer fit into the model's window of 4,096 tokens and were left out."),
    ],
)
def test_the_user_is_told_what_was_left_out(dropped: int, text: str | None) -> None:
    assert Fitted([question("q")], dropped, 1, 4096).notice == text


def test_who_asks_more_than_the_model_can_see_is_told() -> None:
    alone = fit(None, [question("x" * 4 * 4096)], 4096)
    assert alone.notice is not None
    assert alone.notice.startswith("This question is longer than the model's window of 4,096 tokens")
    later = fit(None, [question("a"), answer("b"), question("x" * 4 * 4096)], 4096)
    assert (later.dropped, later.kept) == (2, 1)
    assert later.notice == f"{alone.notice} Earlier messages were left out."


# The estimate


@given(st.text() | st.text("0123456789 a", max_size=50))
def test_the_estimate_is_a_third_of_the_bytes_and_all_digits(text: str) -> None:
    digits = sum(character in "0123456789" for character in text)
    assert estimate(text) == digits + math.ceil((len(text.encode("utf-8", "replace")) - digits) / 3)


@given(st.text(), st.text())
def test_two_texts_are_no_less_than_their_sum_less_one(one: str, other: str) -> None:
    assert estimate(one) + estimate(other) - 1 <= estimate(one + other) <= estimate(one) + estimate(other)


def test_a_chinese_character_is_a_token_and_a_half_surrogate_does_no_harm() -> None:
    assert estimate("你好世界") == 4
    assert estimate("3.14159") == 7
    assert estimate("\ud800") == 1


# How large the window is


@pytest.mark.parametrize(
    ("num_ctx", "loaded", "model", "size"),
    [
        (8192, 4096, can(131072), 8192),
        (8192, None, can(2048), 2048),
        (None, 16384, can(131072), 16384),
        (None, None, Capabilities(context_length=131072, window=32768), 32768),
        (None, None, can(131072), 4096),
        (None, None, can(2048), 2048),
        (None, None, can(), 4096),
        (8192, None, can(), 8192),
    ],
)
def test_the_first_that_is_known_counts_but_never_more_than_the_model_can(
    num_ctx: int | None, loaded: int | None, model: Capabilities, size: int
) -> None:
    assert window_in(num_ctx, loaded, model, 4096) == size


def test_what_an_upstream_gives_by_itself_is_read_with_care() -> None:
    info = {"general.architecture": "llama", "llama.context_length": 131072}
    shown = {"model_info": info, "parameters": 'stop "<|eot_id|>"\nnum_ctx                        16384\ntemperature 1'}
    assert described(shown, is_ollama=True).window == 16384
    assert described({"model_info": info}, is_ollama=True).window is None
    assert described({"model_info": info}, is_ollama=False).window == 131072
    assert described({"model_info": {"unknown.n_ctx_train": 8192}}, is_ollama=False).window is None
    for odd in ({}, {"parameters": 7}, {"parameters": "num_ctx 0"}, {"parameters": "num_ctx many"}):
        assert described(odd, is_ollama=True).window is None


Ask = Callable[..., Awaitable[int]]


@asynccontextmanager
async def known(upstream: UpstreamSettings) -> AsyncIterator[Ask]:
    async with Fleet(upstream) as fleet:
        book = CapabilityBook(fleet.registry)
        windows = Windows(fleet.registry, book, lambda: 3000)

        async def of(model: str, num_ctx: int | None = None, may_use: MayUse = anything) -> int:
            return await windows.of(model, may_use, num_ctx)

        try:
            yield of
        finally:
            await book.close()


def shows(fake: FakeOllama) -> int:
    return sum(seen.path == "/api/show" for seen in fake.reads)


async def test_a_loaded_model_has_the_window_that_it_is_loaded_with() -> None:
    async with FakeOllama() as fake, known(settings_for(fake.url)) as window:
        assert await window("llama3.2") == 4096
        assert shows(fake) == 0
        assert await window("llama3.2", 200_000) == 131072
        assert await window("llama3.2", 8192) == 8192


async def test_another_model_has_what_ollama_loads_it_with() -> None:
    async with FakeOllama() as fake:
        fake.loaded = []
        async with known(settings_for(fake.url)) as window:
            assert [await window("LLaMA3.2"), await window("llama3.2")] == [3000, 3000]
            assert shows(fake) == 1


async def test_other_servers_list_their_window() -> None:
    async with FakeOpenAI(models=("qwen",)) as fake, known(settings_for(fake.url, kind="openai")) as window:
        assert await window("qwen") == 8192
        assert await window("qwen", 100_000) == 8192
        assert await window("qwen", 1000) == 1000


async def test_of_what_nobody_knows_the_default_is_taken() -> None:
    async with FakeOllama() as fake:
        fake.loaded = []
        async with known(settings_for(fake.url)) as window:
            assert await window("unknown") == 3000
            assert await window("llama3.2", None, lambda name: False) == 3000
            assert await window("unknown", 5000) == 5000
            await fake.stop()
            assert await window("llama3.2") == 3000
