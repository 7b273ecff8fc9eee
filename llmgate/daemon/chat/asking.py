"""From what a page asks for to what the model is sent. Decides, and reads nothing but what it is given."""

from __future__ import annotations

import base64
import binascii
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from llmgate.daemon.protocols.bodies import dump_body
from llmgate.daemon.store.images import ImageRef
from llmgate.errors import InvalidRequest
from llmgate.schemas.chat import LARGEST_IMAGE, ImageData, Start
from llmgate.schemas.conversations import MessageRole, Parameters

Picture = tuple[str, bytes]
"""Media type and bytes."""

_BEGINNINGS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One message for the model. ``images`` are in base64; of a message that is ``kept`` under this id they are read
    later, and only counted here."""

    role: MessageRole
    content: str
    images: Sequence[object] = ()
    kept: str | None = None


def check(start: Start) -> None:
    """Raises InvalidRequest for what does not go together."""
    if start.keep and start.history:
        raise InvalidRequest(
            "What came before is in the conversation already.", hint="Send history with keep: false.", param="history"
        )
    if not start.keep and start.conversation is not None:
        raise InvalidRequest("A temporary chat belongs to no conversation.", param="conversation")
    if start.mode == "send":
        if not start.content.strip() and not start.images:
            raise InvalidRequest("The question is empty.", param="content")
    elif start.keep and (start.conversation is None or start.parent is None):
        raise InvalidRequest(
            f"To {start.mode} needs the conversation and the message in it.",
            param="conversation" if start.conversation is None else "parent",
        )
    if start.conversation is None and start.keep and start.parent is not None:
        raise InvalidRequest("A new conversation has no message yet.", param="parent")
    if not start.keep and start.mode != "send":
        expected = "user" if start.mode == "regenerate" else "assistant"
        if not start.history or start.history[-1].role != expected:
            raise InvalidRequest(
                f"To {start.mode}, the history must end with a message of the {expected}.", param="history"
            )


def temporary_lines(start: Start) -> list[Line]:
    """What the model is sent in a temporary chat."""
    lines = [Line(said.role, said.content, [image.data for image in said.images]) for said in start.history]
    if start.mode == "send":
        lines.append(Line("user", start.content, [image.data for image in start.images]))
    return lines


def pictures_of(start: Start) -> list[Picture]:
    """The pictures of the question. Raises InvalidRequest for any picture that is none, also of the history.

    Takes about 10 ms for each that is as large as may be: not for the event loop.
    """
    for said in start.history:
        for image in said.images:
            _decoded(image)
    return [(image.media_type, _decoded(image)) for image in start.images]


def has_pictures(start: Start) -> bool:
    return bool(start.images) or any(said.images for said in start.history)


def _decoded(image: ImageData) -> bytes:
    try:
        data = base64.b64decode(image.data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("A picture is not in base64.", param="images") from None
    if len(data) > LARGEST_IMAGE:
        raise InvalidRequest(f"A picture is larger than {LARGEST_IMAGE // 1048576} MiB.", param="images")
    if not data.startswith(_BEGINNINGS[image.media_type]) or (
        image.media_type == "image/webp" and data[8:12] != b"WEBP"
    ):
        raise InvalidRequest(f"A picture is not {image.media_type}, as it says.", param="images")
    return data


def size_of(start: Start) -> int:
    """About how many bytes of memory it takes: one wide character makes each of its text take up to four."""
    pictures = [*start.images, *(image for said in start.history for image in said.images)]
    texts = [start.content, start.system or "", *(said.content for said in start.history)]
    return sum(map(sys.getsizeof, [*texts, *(image.data for image in pictures)]))


def without_old_pictures(lines: Sequence[Line], most: int) -> tuple[list[Line], int]:
    """The lines with their newest kept pictures, ``most`` bytes of them together, and how many are left out."""
    found: list[Line] = []
    left_out = 0
    for line in reversed(lines):
        sizes = [image.size for image in line.images if isinstance(image, ImageRef)]
        most -= sum(sizes)
        if sizes and most < 0:
            left_out += len(sizes)
            line = replace(line, images=())  # noqa: PLW2901 - the same line, with less in it
        found.append(line)
    return found[::-1], left_out


def body_of(
    model: str,
    system: str | None,
    lines: Sequence[Line],
    parameters: Parameters,
    kept: Mapping[str, Sequence[bytes]],
) -> bytes:
    """The body of ``/api/chat``. ``kept`` are the pictures of kept messages, by the id of the message.

    An answer to be gone on with is the last message: Ollama, and llama.cpp's server, go on where it stops. Other
    servers may begin a new answer.
    """
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for line in lines:
        # What failed before its first word, or was only thought, is nothing that the model has said.
        if not line.content and not line.images:
            continue
        message: dict[str, Any] = {"role": line.role, "content": line.content}
        if line.images:
            message["images"] = _encoded(kept.get(line.kept, ())) if line.kept else list(line.images)
        messages.append(message)
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": True}
    options = parameters.model_dump(exclude={"think"}, exclude_none=True)
    if options:
        body["options"] = options
    if parameters.think is not None:
        body["think"] = parameters.think
    return dump_body(body)


def _encoded(pictures: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(data).decode("ascii") for data in pictures]
