"""What the routes of our own APIs depend on: the daemon's objects, who asks, and how far a list goes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, TypeVar, cast

from fastapi import Depends, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from llmgate import schemas
from llmgate.daemon.auth import routes
from llmgate.daemon.auth.principals import Principal, Role
from llmgate.daemon.outgoing import outgoing_of
from llmgate.daemon.services import Services
from llmgate.daemon.store.types import utc_now
from llmgate.errors import InvalidRequest, PermissionDenied

Row = TypeVar("Row", bound=schemas.Answer)

LONGEST_CURSOR = 3000
"""A cursor can stand for the name of a model: 512 characters of up to four bytes, in base64."""


def services_of(request: Request) -> Services:
    return cast("Services", request.app.state.services)


Daemon = Annotated[Services, Depends(services_of)]


async def principal(request: Request, daemon: Daemon) -> Principal:
    """Who asks. Raises AuthenticationFailed, the same for every missing or bad credential."""
    address, headers, method = daemon.client_address(request.scope), request.headers.raw, request.method
    caller = await daemon.authenticator.authenticate(headers, address=address, method=method)
    again = partial(daemon.authenticator.again, caller, headers, address=address, method=method)
    outgoing_of(request.scope).belongs_to(caller, again)
    return caller


Caller = Annotated[Principal, Depends(principal)]


async def admin(caller: Caller) -> Principal:
    """Who asks, and is an administrator. Raises PermissionDenied for everybody else."""
    if caller.role is not Role.ADMIN:
        raise PermissionDenied("This is for administrators.")
    caller.check_route("/admin/v1", routes.ADMIN)
    return caller


Admin = Annotated[Principal, Depends(admin)]


async def person(caller: Caller) -> Principal:
    """Who asks, and has logged in. Raises PermissionDenied for keys and addresses: they may be in many hands."""
    if caller.session_id is None:
        raise PermissionDenied("Only who has logged in with a name and a password can do that.")
    return caller


Person = Annotated[Principal, Depends(person)]


async def known_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not have: a misspelt filter must not mean "everything"."""
    route = request.scope["route"]
    known = _query_names(route.dependant) if isinstance(route, APIRoute) else set()
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        allowed = f"Known are: {', '.join(sorted(known))}." if known else "This takes none."
        raise InvalidRequest(f"There is no query parameter {unknown[0][:64]!r} here.", hint=allowed)


def _query_names(dependant: Dependant) -> set[str]:
    names = {field.alias for field in dependant.query_params}
    return names.union(*map(_query_names, dependant.dependencies))


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list is asked for: at most ``limit`` rows behind the one with the id ``after``."""

    after: str | None
    limit: int

    @property
    def and_one(self) -> int:
        """How many to fetch to know whether there are more."""
        return self.limit + 1

    def page(self, rows: Sequence[object], kind: type[Row], key: str = "id") -> schemas.Page[Row]:
        """``rows`` (up to one more than asked for) as a page. ``key`` is the field that cursors stand for."""
        shown = rows[: self.limit]
        following = _encoded(str(getattr(shown[-1], key))) if len(rows) > self.limit else None
        return schemas.Page[kind](data=[kind.model_validate(row) for row in shown], next=following)  # type: ignore[valid-type]  # made at run time

    def out_of(self, rows: Sequence[Row], key: str = "name") -> schemas.Page[Row]:
        """The page out of a whole list that is short enough to be made anew each time. Raises InvalidRequest when the
        cursor's row is gone."""
        first = 0
        if self.after is not None:
            places = [place for place, row in enumerate(rows) if getattr(row, key) == self.after]
            if not places:
                raise InvalidRequest(
                    "The listing cannot go on from there.", hint="Start again at the first page.", param="after"
                )
            first = places[0] + 1
        shown = list(rows[first : first + self.limit])
        following = _encoded(getattr(shown[-1], key)) if len(rows) > first + self.limit else None
        return schemas.Page(data=shown, next=following)


async def paging(
    after: Annotated[str | None, Query(max_length=LONGEST_CURSOR, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> Paging:
    return Paging(_decoded(after) if after else None, limit)


Part = Annotated[Paging, Depends(paging)]


def _encoded(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        raise InvalidRequest("The cursor is not one of ours.", hint="Start at the first page.", param="after") from None


def in_future(when: datetime | None) -> datetime | None:
    """An end that has not come yet. Raises InvalidRequest."""
    if when is not None and when <= utc_now():
        raise InvalidRequest("This end is in the past.", param="expires_at")
    return when
