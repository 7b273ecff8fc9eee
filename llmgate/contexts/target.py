"""Which daemon a command talks to, and as whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from llmgate.contexts.stored import Contexts, Store, StoredSession
from llmgate.errors import NotFound, StateUnreadable
from llmgate.urls import base_url

DEFAULT_URL = "http://127.0.0.1:11435"


def config_directory(environ: Mapping[str, str]) -> Path:
    """``LLMGATE_CONFIG_DIR``, or the platform's place for configuration."""
    if environ.get("LLMGATE_CONFIG_DIR"):
        return Path(environ["LLMGATE_CONFIG_DIR"]).expanduser()
    from platformdirs import user_config_path

    return user_config_path("llmgate")


@dataclass(frozen=True, slots=True)
class Target:
    """What a command talks to. ``source`` says in words where the credential comes from."""

    url: str
    context: str | None
    source: str
    token: str | None = field(default=None, repr=False)
    session: StoredSession | None = None


def resolve(
    store: Store, environ: Mapping[str, str], *, url: str | None, context: str | None, token_file: Path | None
) -> Target:
    """Decide on daemon and credential: flags, then the environment, then what is stored.

    Raises NotFound for a context that is not known, StateUnreadable for a token file that cannot be read.
    """
    url, context = addressed(store.contexts(), environ, url=url, context=context)
    target = Target(url, context, "none")
    if token_file:
        return replace(target, token=_token_in(token_file), source=f"the file {token_file}")
    if environ.get("LLMGATE_TOKEN_FILE"):
        path = Path(environ["LLMGATE_TOKEN_FILE"])
        return replace(target, token=_token_in(path), source=f"LLMGATE_TOKEN_FILE ({path})")
    if environ.get("LLMGATE_TOKEN"):
        return replace(target, token=_usable(environ["LLMGATE_TOKEN"], "LLMGATE_TOKEN"), source="LLMGATE_TOKEN")
    session = store.session(context, url) if context else None
    if session is None:
        return target
    return replace(target, session=session, source=f"the login stored for context {context}")


def addressed(
    known: Contexts, environ: Mapping[str, str], *, url: str | None = None, context: str | None = None
) -> tuple[str, str | None]:
    """URL and context of the daemon that a command talks to: flags, then the environment, then the current one."""
    context = context or environ.get("LLMGATE_CONTEXT")
    url = url or (None if context else environ.get("LLMGATE_URL"))
    if context and url is None and context not in known.urls:
        raise NotFound(f"There is no context {context!r}.", hint="See them with: llmgate context list")
    if url is None:
        context = context or known.current
        url = known.urls.get(context or "", DEFAULT_URL)
    url = base_url(url)
    if context is None or known.urls.get(context) != url:
        context = known.named(url)
    return url, context


def _token_in(path: Path) -> str:
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise StateUnreadable(f"The token file {path} cannot be read.", hint="Check its path and its mode.") from None
    return _usable(text, f"The token file {path}")


def _usable(text: str, source: str) -> str:
    """The token, if it can be one: anything else could not even be sent."""
    token = text.strip()
    if not (token.isascii() and token.isprintable() and token and " " not in token):
        raise StateUnreadable(f"{source} does not hold a token.", hint="It must hold one API key and nothing else.")
    return token
