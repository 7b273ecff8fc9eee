"""Finds the credential in a request's headers. Pure, and the same for every route."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from llmgate.config import ServerSettings
from llmgate.errors import AuthenticationFailed
from llmgate.urls import is_loopback

Headers = Iterable[tuple[bytes, bytes]]

_LONGEST = 2048
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def refused() -> AuthenticationFailed:
    """The one answer to every missing or bad credential, so that it tells nothing apart."""
    return AuthenticationFailed(
        "The credentials are missing or not valid.", hint="Send an API key: 'Authorization: Bearer llmg_…'."
    )


def cookie_name(server: ServerSettings) -> str:
    """Browsers take a ``__Host-`` cookie only from https, for this one host and not to be read by scripts of others."""
    plain_http = not server.public_url.startswith("https://")
    return "llmgate" if plain_http and (server.allow_insecure_cookies or is_local(server)) else "__Host-llmgate"


def public_origin(server: ServerSettings) -> str:
    """Scheme, host and port under which browsers reach the gateway, as they send it in ``Origin``."""
    if not server.public_url:
        host = f"[{server.host}]" if ":" in server.host else server.host
        return f"http://{host}:{server.port}"
    parts = urlsplit(server.public_url)
    host = parts.netloc.removesuffix(f":{_DEFAULT_PORTS[parts.scheme]}")
    return f"{parts.scheme}://{host}".lower()


def is_local(server: ServerSettings) -> bool:
    """Whether browsers on this machine may reach the gateway by http, as far as the settings tell: it has such a
    public URL, or none and listens where they find it."""
    if server.public_url:
        parts = urlsplit(server.public_url)
        return parts.scheme == "http" and is_loopback(parts.hostname or "")
    return server.host in _EVERYWHERE or is_loopback(server.host)


def stays_here(headers: Headers) -> bool:
    """Whether a request was sent to this machine by name, and by no page of another one.

    A proxy in front that says neither its own name nor that it speaks https is found out by the ``Origin`` that
    browsers send when they log in.
    """
    host, origins = "", []
    for name, value in headers:
        if name == b"host":
            host = value.decode("latin-1").lower()
        elif name == b"origin":
            origins.append(value.decode("latin-1").lower())
    return _names_this_machine(host) and all(_is_loopback_origin(origin) for origin in origins)


def extract(headers: Headers, *, placeholders: frozenset[bytes], cookie: bytes) -> tuple[bytes | None, bool]:
    """The credential, None when there is none, and whether it came as the cookie named ``cookie``.

    A credential in a header goes before the cookie. Raises AuthenticationFailed for two different ones, another
    scheme than Bearer, and more than 2 KiB.
    """
    found: bytes | None = None
    cookies: list[bytes] = []
    for name, value in headers:
        if name == b"authorization":
            scheme, _, secret = value.strip().partition(b" ")
            if scheme.lower() != b"bearer":
                raise refused()
            secret = secret.strip()
        elif name == b"x-api-key":
            secret = value.strip()
        else:
            if name == b"cookie":
                cookies.append(value)
            continue
        if secret in placeholders:
            continue
        if len(secret) > _LONGEST or found not in (None, secret):
            raise refused()
        found = secret
    if found is not None or not cookies:
        return found, False
    found = _from_cookies(cookies, cookie)
    return found, found is not None


def may_change_state(headers: Headers, method: str, origin: str) -> bool:
    """Whether a request that a browser authenticated by itself, with a cookie, was made by our own page.

    Browsers say so in Sec-Fetch-Site (W3C Fetch Metadata); over plain http, where they do not, in Origin.
    """
    if method in _SAFE_METHODS:
        return True
    for name, value in headers:
        if name == b"sec-fetch-site" and value in (b"same-origin", b"none"):
            return True
        if name == b"origin" and is_own_origin(value, origin, headers):
            return True
    return False


def is_foreign_page(headers: Headers, method: str, origin: str) -> bool:
    """Whether a browser made this request for a page of another site. A whitelisted address proves itself as
    little by its own doing as a cookie does; but what is no browser sends neither header."""
    if method in _SAFE_METHODS:
        return False
    for name, value in headers:
        if name == b"sec-fetch-site" and value not in (b"same-origin", b"none"):
            return True
        if name == b"origin" and not is_own_origin(value, origin, headers):
            return True
    return False


def is_own_origin(told: bytes, ours: str, headers: Headers) -> bool:
    """Whether the ``Origin`` that a browser told is ``ours``, see ``public_origin``.

    This machine has several names (127.0.0.1, localhost): where it is ours, each of them is, if the page was loaded
    from just there.
    """
    origin = told.decode("latin-1").lower()
    if origin == ours:
        return True
    if not _is_loopback_origin(origin) or not (_is_loopback_origin(ours) or _is_everywhere(ours)):
        return False
    hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
    return hosts == [origin.removeprefix("http://")]


def _is_loopback_origin(origin: str) -> bool:
    return origin.startswith("http://") and _names_this_machine(origin.removeprefix("http://"))


def _is_everywhere(origin: str) -> bool:
    return _hostname(origin.removeprefix("http://")) in _EVERYWHERE


def _names_this_machine(host: str) -> bool:
    return is_loopback(_hostname(host))


def _hostname(host: str) -> str:
    """Of a host with or without a port; empty for what is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _from_cookies(headers: list[bytes], wanted: bytes) -> bytes | None:
    found: bytes | None = None
    for pair in b";".join(headers).split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name != wanted:
            continue
        if len(value) > _LONGEST or found not in (None, value):
            raise refused()
        found = value
    return found
