"""What a request may ask of a model's server at most. Pure: looks at a body and the settings, and says what to do.

A model's server does what it is told, also what wears it out. Three answers to that, each where it surprises least:

- An amount that only says how far something may go (tokens, context, keep_alive) is brought within the settings. The
  answer is the same but for that, and the client is told in a header.
- What says how the server works, and nothing about the answer (num_gpu, num_thread ...), is left out, and told as well.
- What the answer would be another one without (n, logprobs, texts to embed, tools, images, template) is refused with
  400 and a sentence that names the setting: fewer answers than were asked for look like a defect.

Administrators could change the settings, and are held to ``allow_remote_urls`` only: for a page that was made to use
their session, too, the network behind the gateway is closed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llmgate.config_requests import RequestSettings
from llmgate.daemon.protocols.attachments import files_in, refuse_remote_servers
from llmgate.daemon.protocols.base import Call, Task
from llmgate.daemon.protocols.bodies import refuse_case_variants
from llmgate.errors import InvalidRequest

_TOKENS: Final = frozenset({"max_completion_tokens", "max_output_tokens", "max_tokens", "min_tokens", "n_predict"})
_ANSWERS: Final = ("n", "best_of")
_ALTERNATIVES: Final = frozenset({"logprobs", "n_probs", "prompt_logprobs", "top_logprobs"})
_TEMPLATES: Final = ("chat_template", "template")
_SERVER_KEYS: Final = ("id_slot", "priority")
_REMOTE: Final = ("kv_transfer_params", "mcp_servers", "tools")
_SERVER_OPTIONS: Final = (
    "f16_kv",
    "low_vram",
    "main_gpu",
    "num_batch",
    "num_gpu",
    "num_thread",
    "numa",
    "use_mlock",
    "use_mmap",
    "vocab_only",
)
"""Of Ollama's. With other values than before, it also loads the model anew."""
_OPTIONS: Final = frozenset({"num_ctx", "num_predict", *_SERVER_OPTIONS})
_HARMLESS_OPTIONS: Final = frozenset({"min_p", "repeat_penalty", "seed", "stop", "temperature", "top_k", "top_p"})

WATCHED: Final = frozenset(
    {
        *_TOKENS,
        *_ANSWERS,
        *_ALTERNATIVES,
        *_TEMPLATES,
        *_SERVER_KEYS,
        *_REMOTE,
        "input",
        "keep_alive",
        "options",
        "prompt",
        "raw",
    }
)
"""A body with none of these keys needs no closer look."""

_DURATION: Final = re.compile(r"[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_PART: Final = re.compile(r"([\d.]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SECONDS: Final[Mapping[str, float]] = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # U+00B5 and U+03BC: Go reads both
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_LONGEST_TEXT: Final = 64


@dataclass(frozen=True, slots=True)
class Change:
    """Another value for what stands at ``path`` in a body; None: it is left out. ``was_endless``: there was no end."""

    path: tuple[str, ...]
    value: float | None
    was_endless: bool = False

    def __str__(self) -> str:
        name = ".".join(self.path)
        return name if self.value is None else f"{name}={self.value}"


def judge(call: Call, rules: RequestSettings, *, is_admin: bool) -> Sequence[Change]:
    """What must be changed in the body of ``call``. Raises InvalidRequest for what is not taken at all."""
    body = call.body
    files = files_in(body, allow_remote=rules.allow_remote_urls)
    watched = body.keys() & WATCHED
    if watched and not rules.allow_remote_urls and not watched.isdisjoint(_REMOTE):
        refuse_remote_servers(body)
    if is_admin:
        return ()
    _check_length("images", files, "max_images", rules.max_images)
    return _judge(call, watched, rules) if watched else ()


def apply(call: Call, changes: Sequence[Change]) -> str:
    """Make them, and say so in one line for a header."""
    for change in changes:
        target = call.body
        for key in change.path[:-1]:
            target = target[key]
        if change.value is None:
            del target[change.path[-1]]
        else:
            target[change.path[-1]] = change.value
        call.is_endless = call.is_endless or change.was_endless
    return ", ".join(map(str, changes))


def _judge(call: Call, watched: set[str], rules: RequestSettings) -> list[Change]:
    body, changes = call.body, list[Change]()
    for key in sorted(watched):
        value = body[key]
        if value is not None and value is not False:
            changes += _judge_one(key, value, rules)
    if "prompt" in watched or not watched.isdisjoint(_ANSWERS):
        _check_answers(call, rules)
    if call.route.task is Task.EMBED:
        _check_inputs(body.get("input"), rules)
    options = body.get("options")
    if type(options) is dict and not options.keys() <= _HARMLESS_OPTIONS:
        changes += _options(options, rules)
    if body.get("keep_alive") is not None:
        changes += _keep_alive(body["keep_alive"], rules)
    return changes


def _judge_one(key: str, value: Any, rules: RequestSettings) -> Sequence[Change]:
    """What can be said of one key alone."""
    if key in _TOKENS:
        if type(value) is not int or not 0 <= value <= rules.max_output_tokens:
            return _tokens((key,), value, rules.max_output_tokens, endless_below=0)
    elif key == "tools":
        if type(value) is list:
            _check_length("tools", len(value), "max_tools", rules.max_tools)
    elif key in _TEMPLATES or key == "raw":
        _check_allowed(key, value, rules)
    elif key in _ALTERNATIVES and value is not True:
        _check_count(key, value, "max_logprobs", rules.max_logprobs)
    elif key in _SERVER_KEYS and not rules.allow_server_options:
        return [Change((key,), None)]
    return ()


def context_of(num_ctx: int | None, rules: RequestSettings, *, is_admin: bool) -> int | None:
    """What becomes of this ``num_ctx``."""
    return num_ctx if num_ctx is None or is_admin else min(num_ctx, rules.max_num_ctx)


# -- amounts that are brought within the settings ------------------------------------------------


def _tokens(path: tuple[str, ...], value: Any, most: int, *, endless_below: float) -> list[Change]:
    """``endless_below``: a smaller number means that there is no end."""
    is_endless = _number(path, value) < endless_below
    return [Change(path, most, is_endless)] if is_endless or value > most else []


def _options(options: dict[str, Any], rules: RequestSettings) -> list[Change]:
    refuse_case_variants(options, _OPTIONS)
    changes: list[Change] = []
    if options.get("num_ctx") is not None and _number(("options", "num_ctx"), options["num_ctx"]) > rules.max_num_ctx:
        changes.append(Change(("options", "num_ctx"), rules.max_num_ctx))
    if options.get("num_predict") is not None:
        # Ollama cuts off what is behind the point, and takes 0 for no end, too.
        path = ("options", "num_predict")
        changes += _tokens(path, options["num_predict"], rules.max_output_tokens, endless_below=1)
    if not rules.allow_server_options:
        changes += [Change(("options", key), None) for key in _SERVER_OPTIONS if key in options]
    return changes


def _keep_alive(value: Any, rules: RequestSettings) -> list[Change]:
    path = ("keep_alive",)
    seconds = _duration(value) if type(value) is str else _number(path, value)
    if seconds < 0:  # for ever
        return [Change(path, _plain(rules.keep_alive_max))]
    within = min(max(seconds, rules.keep_alive_min), rules.keep_alive_max)
    return [] if within == seconds else [Change(path, _plain(within))]


def _duration(text: str) -> float:
    """Seconds of a duration as Go writes it: 1h30m, 300ms, -1m."""
    if len(text) > _LONGEST_TEXT or not _DURATION.fullmatch(text):
        raise InvalidRequest("'keep_alive' must be a duration like \"5m\", or a number of seconds.", param="keep_alive")
    seconds = sum([float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)])
    return -seconds if text.startswith("-") else seconds


def _plain(seconds: float) -> float:
    return int(seconds) if seconds == int(seconds) else seconds


def _number(path: tuple[str, ...], value: Any) -> float:
    """Raises InvalidRequest for anything else: some servers would take "1000" for 1000, too."""
    if type(value) is not int and type(value) is not float:
        name = ".".join(path)
        raise InvalidRequest(f"{name!r} must be a number.", param=name)
    return value


# -- what is refused -----------------------------------------------------------------------------


def _check_count(key: str, value: Any, setting: str, most: int) -> None:
    """A negative number means all there are."""
    if _number((key,), value) < 0 or value > most:
        raise _too_many(key, value, setting, most)


def _check_length(what: str, found: float, setting: str, most: int) -> None:
    if found > most:
        raise _too_many(what, found, setting, most)


def _check_answers(call: Call, rules: RequestSettings) -> None:
    body = call.body
    wanted = max([1, *(_number((key,), body[key]) for key in _ANSWERS if body.get(key) is not None)])
    prompts = body.get("prompt")
    if call.route.task is Task.GENERATE and type(prompts) is list and prompts and type(prompts[0]) is not int:
        wanted *= len(prompts)
    _check_length("answers", wanted, "max_answers", rules.max_answers)


def _check_inputs(given: Any, rules: RequestSettings) -> None:
    """A list of numbers is one text, in tokens."""
    if type(given) is list and given and type(given[0]) is not int:
        _check_length("texts", len(given), "max_inputs", rules.max_inputs)


def _check_allowed(key: str, value: Any, rules: RequestSettings) -> None:
    allowed = rules.allow_raw if key == "raw" else rules.allow_template
    if value and not allowed:  # an empty one is how some clients say that they have none
        setting = "allow_raw" if key == "raw" else "allow_template"
        hint = f"Leave it out, or ask the administrator about requests.{setting}."
        raise InvalidRequest(f"{key!r} is not taken here.", hint=hint, param=key)


def _too_many(what: str, found: float, setting: str, most: int) -> InvalidRequest:
    return InvalidRequest(
        f"The request asks for {what}: {found:g}, and the most is {most} (requests.{setting})."
        if found >= 0
        else f"{what} must not be negative."
    )
