"""The chat page: the files that were built from ``web/``, served from memory.

They are a few hundred kilobytes, compressed when they were built, and named after their content: so nothing is read,
and nothing is compressed, while the daemon serves.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

DIRECTORY: Final = Path(__file__).parent / "static"
INDEX: Final = "index.html"

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content Security Policy: no script but ours, and nothing from any other place, whatever a model writes."""

_HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
_TEXT: Final = {".js": "text/javascript; charset=utf-8", ".html": "text/html; charset=utf-8"}
_NOT_BUILT: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>llmgate</title>
<h1>The chat page is not built</h1>
<p>The gateway itself works. This copy of it came from its sources, where the page has to be built once:</p>
<pre>make page</pre>
<p>That needs Node.js 20.19 or newer. An installed package has the page in it.</p></html>
"""


@dataclass(frozen=True, slots=True)
class File:
    """A file as it is sent: plain, and in each encoding that it was compressed with."""

    content_type: str
    etag: str
    bodies: Mapping[str, bytes]


class Page:
    """Answers ``/`` and the files of the page. ``files`` maps names like ``assets/x.js`` to files, empty when the
    page was not built."""

    def __init__(self, files: Mapping[str, File]) -> None:
        self._files = files

    @property
    def is_built(self) -> bool:
        return INDEX in self._files

    @property
    def names(self) -> Iterable[str]:
        """Of all files, the page itself left out."""
        return [name for name in self._files if name != INDEX]

    async def root(self, request: Request) -> Response:
        """The page for who can show one. Stock Ollama clients ask this path to see whether there is a server."""
        if "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse("llmgate is running", headers={"vary": "accept"})
        if not self.is_built:
            return Response(_NOT_BUILT, 503, {"cache-control": "no-store", "vary": "accept"}, "text/html")
        return _answer(
            request, self._files[INDEX], {**_HEADERS, "cache-control": "no-cache"}, "accept, accept-encoding"
        )

    async def file(self, request: Request) -> Response:
        """One of the other files."""
        name = request.scope["path"].removeprefix(request.scope.get("root_path", "")).lstrip("/")
        # What is named after its content never changes.
        lasting = "public, max-age=31536000, immutable" if name.startswith("assets/") else "no-cache"
        return _answer(request, self._files[name], {**_HEADERS, "cache-control": lasting}, "accept-encoding")


def load(directory: Path = DIRECTORY) -> Page:
    """Read the page that was built into this directory."""
    if not (directory / INDEX).is_file():
        return Page({})
    paths = [path for path in sorted(directory.rglob("*")) if path.is_file() and path.suffix not in (".br", ".gz")]
    return Page({path.relative_to(directory).as_posix(): _file(path) for path in paths})


def _file(path: Path) -> File:
    plain = path.read_bytes()
    bodies = {"identity": plain}
    for encoding, suffix in _ENCODINGS:
        packed = path.with_name(path.name + suffix)
        if packed.is_file():
            bodies[encoding] = packed.read_bytes()
    kind = _TEXT.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return File(kind, hashlib.sha256(plain).hexdigest()[:24], bodies)


def _answer(request: Request, file: File, headers: Mapping[str, str], vary: str) -> Response:
    accepted = {part.partition(";")[0].strip() for part in request.headers.get("accept-encoding", "").split(",")}
    encoding = next((name for name, _ in _ENCODINGS if name in accepted and name in file.bodies), "identity")
    tag = f'"{file.etag}-{encoding}"'
    answered = {**headers, "etag": tag, "vary": vary}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=answered)
    if encoding != "identity":
        answered["content-encoding"] = encoding
    return Response(file.bodies[encoding], 200, answered, file.content_type)
