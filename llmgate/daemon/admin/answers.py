"""Which errors a route of our own APIs can answer with, read from what the route takes and depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fastapi.dependencies.models import Dependant

from llmgate import errors
from llmgate.daemon.admin.dependencies import admin, known_parameters, person, principal
from llmgate.daemon.admin.editing import act, creation, edit
from llmgate.errors import (
    AlreadyCreated,
    AuthenticationFailed,
    BodyTooLarge,
    Conflict,
    InvalidRequest,
    LLMGateError,
    NotFound,
    PermissionDenied,
    PreconditionFailed,
    ReadOnly,
    StoreUnavailable,
    WouldLockOut,
)

Kind = type[LLMGateError]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_RAISED = "x-llmgate-raises"


def raises(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """For the ``responses`` of a route: errors that cannot be seen from its parameters and dependencies."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        found.setdefault(kind.status, {"description": "", _RAISED: []})[_RAISED].append(kind.__name__)
    return found


def errors_of(route: Any, method: str) -> dict[int, list[Kind]]:
    """By status, the errors of this route (one of FastAPI's) when it is asked with this method."""
    found: dict[int, list[Kind]] = {}
    declared = [getattr(errors, name) for answer in route.responses.values() for name in answer.get(_RAISED, ())]
    for kind in [*_expected(route, method), *declared]:
        kinds = found.setdefault(kind.status, [])
        if kind not in kinds:
            kinds.append(kind)
    return dict(sorted(found.items()))


def _expected(route: Any, method: str) -> Iterator[Kind]:
    calls = set(dependencies_of(route.dependant))
    if known_parameters in calls:
        yield InvalidRequest  # at least for a query parameter that is not known
    if principal in calls:
        yield AuthenticationFailed
        if not calls.isdisjoint({admin, person}) or method not in SAFE_METHODS:
            yield PermissionDenied  # a change can be what a foreign page asks a browser to make
    if route.dependant.path_params:
        yield NotFound
    if edit in calls:
        yield from (Conflict, ReadOnly, WouldLockOut, PreconditionFailed)
    if act in calls:
        yield from (Conflict, ReadOnly, WouldLockOut)
    if creation in calls:
        yield from (Conflict, AlreadyCreated)
    if route.body_field is not None or creation in calls:
        yield BodyTooLarge
    yield StoreUnavailable


def dependencies_of(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    """Every function that a route depends on, directly or not."""
    for inner in dependant.dependencies:
        if inner.call is not None:
            yield inner.call
        yield from dependencies_of(inner)
