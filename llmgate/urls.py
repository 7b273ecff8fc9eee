"""What a URL of a daemon, or of an upstream, looks like."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from llmgate.addresses import fault_of_host
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


_BASE = re.compile(r"https?://(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::(\d{1,5}))?(?:/[!-~]*)?", re.ASCII)


def is_base_url(text: str) -> bool:
    """Whether it is http(s)://host[:port][/path] in ASCII, and every part can be used: no HTTP client chokes on it."""
    found = _BASE.fullmatch(text)
    if found is None or any(character in text for character in "?#@\\"):
        return False
    address, name, port = found.groups()
    if port is not None and not 0 < int(port) < 65536:
        return False
    if address is not None:
        try:
            ipaddress.IPv6Address(address)
        except ValueError:
            return False
        return True
    labels = name.removesuffix(".").split(".")
    return len(name) < 254 and all(0 < len(label) < 64 for label in labels)


def fault_of_upstream_url(url: str) -> str | None:
    """Why this cannot be the URL of an upstream; None if it can."""
    if not is_base_url(url):
        return "must look like http://host:port, without user, query or fragment"
    return fault_of_host(urlsplit(url).hostname or "")


OUR_PATHS = ("admin", "api", "assets", "gate", "health", "metrics", "v1")
"""What paths of the gateway itself begin with."""
_PUBLIC_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*", re.ASCII)


def path_of(url: str) -> str:
    """The path of a URL without a slash at its end: ``/ai``, or nothing."""
    return urlsplit(url).path.rstrip("/")


def fault_of_public_url(url: str) -> str | None:
    """Why browsers could not reach a gateway by this URL; None if they can."""
    if not is_base_url(url):
        return "must look like https://host or https://host/path, without user, query or fragment"
    path = path_of(url)
    if not _PUBLIC_PATH.fullmatch(path):
        return "must have a path of letters, digits and any of . _ ~ - only"
    if path.split("/")[1:2] and path.split("/")[1] in OUR_PATHS:
        return f"must have a path that does not begin with /{path.split('/')[1]}, as paths of the gateway itself do"
    return None


def is_loopback(host: str) -> bool:
    """Whether a host, as it stands in a URL without its port, is this machine, in every browser's opinion."""
    name = host.lower().removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
