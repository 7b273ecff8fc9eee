"""Fitting a conversation into the model's window.

A model looks at so many tokens at once, its window: what it is told and what it answers together. What goes beyond is
cut off by the server, without a word, or refused. So what no longer fits is left out here, by a rule that the user can
be told of:

- the system prompt is always sent, and so is the newest exchange: the newest message and, if that is an answer to go
  on with, its question;
- then whole exchanges, a question with its answers, from the newest back, as long as the estimate of all that is sent
  fits into the window less the reserve. The first that does not fit ends it, so that there is never a gap;
- an answer is never sent without its question before it;
- the reserve is the room for the answer: ``num_predict`` where that is set, but at most half of the window, else a
  quarter of the window.

Tokens are estimated, for each model counts in its own way: one for each digit, as many models have it, and one for
three bytes of everything else in UTF-8. Of English and of programs that are a fifth to a third too many; of Chinese,
Japanese and Korean (three bytes a character) one for each character, where models of today need 0.6 to 1. A model with
a small and English vocabulary needs more for other languages: SmolLM2 a fourth more than estimated for Russian, twice
as many for Chinese. Only the oldest exchanges depend on it, and the reserve takes what is missing in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from llmgate.daemon.protocols.fields import count_of
from llmgate.daemon.upstreams.capabilities import Capabilities, CapabilityBook
from llmgate.daemon.upstreams.directory import MayUse
from llmgate.daemon.upstreams.pool import Pool
from llmgate.daemon.upstreams.registry import UpstreamRegistry
from llmgate.errors import LLMGateError

BYTES_PER_TOKEN: Final = 3
_DIGITS: Final = b"0123456789"
TOKENS_PER_MESSAGE: Final = 8
"""What a chat template puts around each message."""
TOKENS_PER_IMAGE: Final = 1400
"""About what vision models make of a picture of 1024 × 1024; one at this size is 1,369 patches to Qwen2.5-VL."""


class Fittable(Protocol):
    """What a message must have to be weighed: a stored one as well as one that the page sent."""

    @property
    def role(self) -> str: ...
    @property
    def content(self) -> str: ...
    @property
    def images(self) -> Sequence[object]: ...


M = TypeVar("M", bound=Fittable)


@dataclass(frozen=True, slots=True)
class Fitted(Generic[M]):
    """``messages`` are to be sent, oldest first, below the system prompt. ``dropped`` older ones are left out, ``kept``
    are not. ``window`` is in tokens."""

    messages: list[M]
    dropped: int
    kept: int
    window: int
    overflows: bool = False
    """What is sent is larger than the window all the same: the newest question alone, with the system prompt."""

    @property
    def notice(self) -> str | None:
        """What the user is told; None when the model sees everything."""
        if self.overflows:
            earlier = " Earlier messages were left out." if self.dropped else ""
            longer = f"This question is longer than the model's window of {self.window:,} tokens"
            return f"{longer}: the model sees only a part of it.{earlier}"
        if not self.dropped:
            return None
        what = "message no longer fits" if self.dropped == 1 else f"{self.dropped:,} messages no longer fit"
        were = "was" if self.dropped == 1 else "were"
        return f"The first {what} into the model's window of {self.window:,} tokens and {were} left out."


def estimate(text: str) -> int:
    """About how many tokens a text has, rather too many than too few."""
    data = text.encode("utf-8", "replace")
    others = len(data.translate(None, _DIGITS))
    return len(data) - others - (-others // BYTES_PER_TOKEN)


def weight(message: Fittable) -> int:
    """About how many tokens a message takes, its pictures included."""
    return TOKENS_PER_MESSAGE + estimate(message.content) + TOKENS_PER_IMAGE * len(message.images)


def reserve_of(window: int, num_predict: int | None) -> int:
    """How many tokens of the window are kept free for the answer."""
    return window // 4 if num_predict is None else min(num_predict, window // 2)


def fit(system: str | None, messages: Sequence[M], window: int, num_predict: int | None = None) -> Fitted[M]:
    """What of a conversation (oldest first, the newest message last) is sent. See the module for the rule."""
    room = window - reserve_of(window, num_predict)
    if system:
        room -= TOKENS_PER_MESSAGE + estimate(system)
    begin = end = len(messages)
    overflows = False
    for start in _exchanges(messages):
        room -= sum(weight(message) for message in messages[start:begin])
        if room < 0 and begin != end:
            break
        overflows = bool(messages) and room < -reserve_of(window, num_predict)
        begin = start
    return Fitted(list(messages[begin:]), begin, end - begin, window, overflows)


def _exchanges(messages: Sequence[Fittable]) -> Iterator[int]:
    """Where each exchange begins, the newest first. Answers at the very beginning, without a question, are none, unless
    there is nothing else."""
    starts = [number for number, message in enumerate(messages) if message.role == "user"]
    yield from reversed(starts or [max(0, len(messages) - 1)])


# -- how large the window is ---------------------------------------------------------------------


def window_in(num_ctx: int | None, loaded: int | None, model: Capabilities, default: int) -> int:
    """The first that is known: what is asked for, what the model is loaded with, what its server will give it, else
    ``default``. Never more than the model can have."""
    size = num_ctx or loaded or model.window or default
    return min(size, model.context_length) if model.context_length else size


class Windows:
    """How large the windows of models are at this moment. ``default`` is the setting ``chat.context_tokens``."""

    def __init__(self, upstreams: UpstreamRegistry, capabilities: CapabilityBook, default: Callable[[], int]) -> None:
        self._upstreams = upstreams
        self._capabilities = capabilities
        self._default = default

    def now(self, model: str, can: Capabilities, may_use: MayUse) -> int:
        """The window that a request would find that asks for none, by what is known of the model already."""
        try:
            resolved = self._upstreams.resolve(model, may_use)
            loaded = _loaded_window(self._upstreams.pool(resolved.pool), resolved.model)
        except LLMGateError:
            loaded = None
        return loaded or window_in(None, None, can, self._default())

    async def of(self, model: str, may_use: MayUse, num_ctx: int | None = None) -> int:
        """The window in tokens that a request for ``model`` will find.

        Of a model that nobody can tell anything of it is ``num_ctx`` or the default: whether there is such a model is
        for the request itself to find out.
        """
        try:
            resolved = self._upstreams.resolve(model, may_use)
            loaded = _loaded_window(self._upstreams.pool(resolved.pool), resolved.model)
            if loaded is not None and num_ctx is None:
                return loaded
            return window_in(num_ctx, loaded, await self._capabilities.of(model, may_use), self._default())
        except LLMGateError:
            return num_ctx or self._default()


def _loaded_window(pool: Pool, model: str) -> int | None:
    """The smallest window with which an upstream of the pool holds the model in memory."""
    entries = (pool.memory_of(member).get(key) for member in pool.members for key in pool.keys_for(model))
    lengths = (count_of(entry.get("context_length")) for entry in entries if entry is not None)
    return min((length for length in lengths if length), default=None)
