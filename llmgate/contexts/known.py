"""The known daemons, and what is done with them. Everything here waits for the lock of the files, up to 15 s."""

from __future__ import annotations

from dataclasses import dataclass

from llmgate.contexts.stored import Contexts, Store, StoredSession
from llmgate.errors import Conflict, NotFound
from llmgate.urls import base_url


@dataclass(frozen=True, slots=True)
class Known:
    """A daemon that is known by a name; ``user`` is who is logged in there."""

    name: str
    url: str
    current: bool
    user: str | None


def every(store: Store) -> list[Known]:
    """All of them, in the order in which they came."""
    contexts = store.contexts()
    return [_known(store, contexts, name) for name in contexts.urls]


def one(store: Store, name: str) -> Known:
    """Raises NotFound when there is none of this name."""
    contexts = store.contexts()
    check(contexts, name)
    return _known(store, contexts, name)


def create(store: Store, name: str, url: str, *, current: bool = False) -> Known:
    """Know a daemon by a name; the first one is the current one at once. Raises Conflict, or InvalidRequest."""
    with store.lock():
        contexts = store.contexts()
        _check_free(contexts, name)
        store.add_context(name, base_url(url), current=current)
        return one(store, name)


def use(store: Store, name: str) -> Known:
    """Make a daemon the one that commands talk to. Raises NotFound."""
    with store.lock():
        contexts = store.contexts()
        check(contexts, name)
        store.save_contexts(Contexts(name, contexts.urls))
        return one(store, name)


def rename(store: Store, name: str, new: str) -> Known:
    """Call a daemon by another name; a session there stays. Raises NotFound, Conflict or InvalidRequest."""
    with store.lock():
        contexts = store.contexts()
        check(contexts, name)
        _check_free(contexts, new)
        url = contexts.urls[name]
        session = store.session(name, url)
        store.add_context(new, url, current=False)
        # Between these steps both names work: whatever ends this process, nothing is lost.
        store.save_session(new, session)
        urls = {(new if other == name else other): at for other, at in contexts.urls.items()}
        store.save_contexts(Contexts(new if contexts.current == name else contexts.current, urls))
        store.save_session(name, None)
        return one(store, new)


def remove(store: Store, name: str) -> None:
    """Forget a daemon and the session there. Raises NotFound."""
    with store.lock():
        contexts = store.contexts()
        check(contexts, name)
        kept = {other: url for other, url in contexts.urls.items() if other != name}
        store.save_contexts(Contexts(None if contexts.current == name else contexts.current, kept))
        store.save_session(name, None)


def keep(store: Store, name: str, session: StoredSession | None) -> None:
    """Keep the session of a context, or forget it."""
    with store.lock():
        store.save_session(name, session)


def check(contexts: Contexts, name: str) -> None:
    """Raises NotFound when there is no context of this name."""
    if name not in contexts.urls:
        raise NotFound(f"There is no context {name!r}.", hint="See them with: llmgate context list")


def _check_free(contexts: Contexts, name: str) -> None:
    if name in contexts.urls:
        raise Conflict(f"There is a context {name!r} already.", hint="Remove or rename it first.")


def _known(store: Store, contexts: Contexts, name: str) -> Known:
    url = contexts.urls[name]
    session = store.session(name, url)
    return Known(name, url, name == contexts.current, session.user if session else None)
