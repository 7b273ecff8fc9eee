"""What a URL of a daemon looks like."""

from __future__ import annotations

from urllib.parse import urlsplit

from llmgate.errors import InvalidRequest


def base_url(text: str) -> str:
    """``text`` without a slash at its end.

    Raises InvalidRequest unless it is http(s)://host[:port][/path]; a password in it would be shown in messages.
    """
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises when it is no number
        plain = parts.username is None and not parts.query and not parts.fragment
        usable = parts.scheme in ("http", "https") and parts.hostname and plain and text.isprintable()
    except ValueError:
        usable = False
    if not usable or " " in text:
        raise InvalidRequest("This is not the URL of a daemon.", hint="It looks like http://127.0.0.1:11435.")
    return text.rstrip("/")
