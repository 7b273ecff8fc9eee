"""`llmgate chat`: ask a model, in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgate.cli.command import Cli, command
from llmgate.cli.output import Format
from llmgate.errors import InputNeeded, InvalidRequest, LLMGateError, ModelNotFound, NotFound
from llmgate.text import as_json, clean, seconds

if TYPE_CHECKING:  # httpx and pydantic are not needed to show the help
    from llmgate.client import AdminClient

SILENCE = 3700.0
"""Longest silence in an answer, in seconds: more than a daemon may be set to wait between keep-alives."""
PROMPT_CHARACTERS = 4_000_000
POLL_SECONDS = 1.0
_LAYOUT = "\n\t"
_SUFFIXES = {1: "st", 2: "nd", 3: "rd"}


@dataclass(slots=True)
class Conversation:
    """What was said so far, the last answer, and the last chunk of it with its token counts."""

    model: str
    messages: list[dict[str, str]] = field(default_factory=list)
    answer: str = ""
    last: dict[str, Any] = field(default_factory=dict)


def chat(
    cli: Cli,
    model: Annotated[str | None, typer.Argument(help="May be left out where there is only one.")] = None,
    prompt: Annotated[str | None, typer.Argument(help="Without it: read from a pipe, or talk.")] = None,
    system: Annotated[str | None, typer.Option(help="Instructions for the model.")] = None,
) -> None:
    """Ask a model. While it waits, show the place in line; Ctrl-C stops the answer.

    Examples:
      llmgate chat llama3.2 "Why is the sky blue?"
      git diff | llmgate chat llama3.2 --system "Review this change."
    """
    if prompt is None and not sys.stdin.isatty():
        prompt = _piped()
    if prompt is None and cli.options.no_input:
        raise InputNeeded("The prompt is missing.", hint="Give it after the model.")
    conversation = Conversation(model or asyncio.run(_only_model(cli)))
    if system:
        conversation.messages.append({"role": "system", "content": system})
    if prompt is None:
        if model:
            asyncio.run(_check_model(cli, model))
        _talk(cli, conversation)
        return
    asyncio.run(_turn(cli, conversation, prompt))
    if cli.out.form is Format.JSON:
        cli.out.data(as_json(_summary(conversation)))


def mount_chat(app: typer.Typer) -> None:
    command(app, "chat")(chat)


def _talk(cli: Cli, conversation: Conversation) -> None:
    """Question and answer until the end of input. Ctrl-C stops an answer, or ends the talk at the prompt."""
    cli.out.message(f"Talking to {conversation.model}. Ctrl-C stops an answer, Ctrl-D ends.")
    while True:
        try:
            question = input(">>> ").strip()
        except EOFError:
            sys.stderr.write("\n")
            return
        except KeyboardInterrupt:
            sys.stderr.write("\n")
            raise
        if not question:
            continue
        try:
            asyncio.run(_turn(cli, conversation, question))
        except KeyboardInterrupt:
            cli.out.message("\n(stopped)")
        except LLMGateError as failure:
            cli.out.message(failure.text())


async def _turn(cli: Cli, conversation: Conversation, question: str) -> None:
    """One question and its answer. What was answered before a failure stays in the conversation."""
    asked = [*conversation.messages, {"role": "user", "content": question}]
    said: list[str] = []
    try:
        async with cli.client(timeout=SILENCE) as client:
            await _stream(cli, client, conversation, asked, said)
    finally:
        conversation.answer = "".join(said)
        if conversation.answer:
            conversation.messages = [*asked, {"role": "assistant", "content": conversation.answer}]


async def _stream(
    cli: Cli, client: AdminClient, conversation: Conversation, asked: list[dict[str, str]], said: list[str]
) -> None:
    request_id = secrets.token_hex(8)
    body = {"model": conversation.model, "messages": asked, "stream": True}
    async with _place_shown(client, request_id) as arrived:
        async for chunk in client.chat(body, request_id):
            message = chunk.get("message")
            parts = message if isinstance(message, dict) else {}
            text, thought = str(parts.get("content") or ""), str(parts.get("thinking") or "")
            if text or thought or chunk.get("done"):
                await arrived()
            said.append(text)
            _show(cli, chunk, text, thought)
            conversation.last = chunk
    if cli.out.form is Format.TABLE:
        sys.stdout.write("\n")


def _show(cli: Cli, chunk: dict[str, Any], text: str, thought: str) -> None:
    if cli.out.form is Format.JSONL:
        cli.out.data(as_json(chunk))
    elif cli.out.form is Format.TABLE:
        if thought and sys.stderr.isatty():
            sys.stderr.write("\x1b[2m" + clean(thought, keep=_LAYOUT) + "\x1b[0m")
            sys.stderr.flush()
        sys.stdout.write(clean(text, keep=_LAYOUT))
    sys.stdout.flush()


@contextlib.asynccontextmanager
async def _place_shown(client: AdminClient, request_id: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Show the place in line on a terminal's standard error, until the given function is called."""
    showing = asyncio.create_task(_show_place(client, request_id)) if sys.stderr.isatty() else None

    async def stop() -> None:
        if showing is not None and not showing.done():
            showing.cancel()
            await asyncio.wait([showing])

    try:
        yield stop
    finally:
        await stop()


async def _show_place(client: AdminClient, request_id: str) -> None:
    shown = False
    try:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                place = await client.my_place(request_id)
            except NotFound:
                line = ""
            except LLMGateError:
                return  # the answer itself will say what is wrong
            else:
                line = f"{ordinal(place.ahead + 1)} in line, about {seconds(place.estimated_wait)}"
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            shown = True
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


async def _check_model(cli: Cli, model: str) -> None:
    """Raises ModelNotFound before a question is typed in vain."""
    async with cli.client() as client:
        models = await client.usable_models()
    if not {model, f"{model}:latest"} & set(models):
        known = ", ".join(sorted(models)[:20]) or "none"
        raise ModelNotFound(f"There is no model {model!r}.", hint=f"There are: {known}.")


async def _only_model(cli: Cli) -> str:
    async with cli.client() as client:
        models = await client.usable_models()
    if len(models) != 1:
        known = ", ".join(sorted(models)[:20]) or "none"
        raise InvalidRequest("Which model?", hint=f"There are: {known}. Write: llmgate chat MODEL")
    return models[0]


def _piped() -> str:
    prompt = sys.stdin.read(PROMPT_CHARACTERS).strip()
    if not prompt:
        raise InputNeeded("The prompt is empty.", hint="Give it after the model, or through a pipe.")
    return prompt


def _summary(conversation: Conversation) -> dict[str, Any]:
    last = conversation.last
    return {
        "model": conversation.model,
        "content": conversation.answer,
        "done_reason": last.get("done_reason"),
        "input_tokens": last.get("prompt_eval_count"),
        "output_tokens": last.get("eval_count"),
    }
