"""Logging in and out, making an account, and one's own password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from llmgate import schemas
from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Caller, Daemon, Person
from llmgate.daemon.admin.editing import actor_of
from llmgate.daemon.auth import registration
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.auth.sessions import Tokens
from llmgate.daemon.events import LoginFailed
from llmgate.daemon.gate.cookies import Cookies, cookies_of
from llmgate.daemon.services import Services
from llmgate.errors import AuthenticationFailed, Conflict, PermissionDenied, TooManyAttempts

router = APIRouter(prefix="/auth", tags=["auth"])


def _cookies(daemon: Daemon) -> Cookies:
    return cookies_of(daemon)


CookieJar = Annotated[Cookies, Depends(_cookies)]


@router.post("/login", responses=raises(AuthenticationFailed, TooManyAttempts))
async def login(
    daemon: Daemon, cookies: CookieJar, request: Request, response: Response, body: schemas.Login
) -> schemas.Tokens:
    """Start a session. 401 for a wrong name or password alike, 429 after too many failures."""
    if body.cookie:
        cookies.check_allowed(request)
    tokens = await _logged_in(daemon, request, body.name, body.password.get_secret_value())
    return _answer(tokens, response, cookies if body.cookie else None)


@router.post("/refresh", responses=raises(AuthenticationFailed, PermissionDenied))
async def refresh(
    daemon: Daemon,
    cookies: CookieJar,
    request: Request,
    response: Response,
    body: schemas.Refresh | None = None,
) -> schemas.Tokens:
    """Trade the refresh token, of the body or else of the cookie, for new tokens in the same place."""
    given = body.refresh_token if body else None
    token = given.get_secret_value() if given else cookies.refresh_token(request)
    address = daemon.client_address(request.scope)
    tokens = await daemon.sessions.refresh(token, address=address, on_reuse=daemon.rights_changed)
    return _answer(tokens, response, None if given else cookies)


@router.post("/logout", status_code=204)
async def logout(daemon: Daemon, cookies: CookieJar, caller: Caller, request: Request, response: Response) -> None:
    """End the session, at once and everywhere."""
    await daemon.sessions.logout(_session(caller), actor_of(caller, daemon, request))
    daemon.rights_changed()
    cookies.clear(response)


@router.post(
    "/register",
    status_code=201,
    responses=raises(AuthenticationFailed, PermissionDenied, Conflict, TooManyAttempts),
)
async def register(daemon: Daemon, request: Request, body: schemas.Redeem) -> schemas.User:
    """Make an account with a registration token. 403 while registration is closed, whatever the token; 429 after some
    names that were taken."""
    if not daemon.settings.auth.registration:
        raise PermissionDenied("Registration is closed.", hint="Ask an administrator for an account.")
    user = await registration.register(
        daemon.database,
        daemon.changes,
        daemon.hasher,
        daemon.secret,
        daemon.sessions.throttle,
        token=body.token.get_secret_value(),
        name=body.name,
        password=body.password.get_secret_value(),
        address=daemon.client_address(request.scope),
    )
    return schemas.User.model_validate(user)


@router.post("/setup", status_code=201, responses=raises(AuthenticationFailed, Conflict))
async def setup(daemon: Daemon, request: Request, body: schemas.Redeem) -> schemas.User:
    """Make the first administrator with the token that the daemon has printed on its terminal."""
    user = await daemon.first_admin.redeem(
        body.token.get_secret_value(),
        body.name,
        body.password.get_secret_value(),
        address=daemon.client_address(request.scope),
    )
    return schemas.User.model_validate(user)


@router.get("/me")
async def me(daemon: Daemon, caller: Caller) -> schemas.Me:
    """Who the caller is, what it may, and how much of that is used at this moment."""
    models = sorted(caller.models) if caller.models is not None else None
    routes = sorted(caller.routes) if caller.routes is not None else None
    return schemas.Me(
        kind=caller.kind.value,
        id=caller.id,
        name=caller.name,
        role=caller.role.value,
        level=caller.level,
        user_id=caller.user_id,
        session_id=caller.session_id,
        models=models,
        routes=routes,
        limits=schemas.KeyLimits.model_validate(caller.limits) if caller.limits is not None else None,
        used=await _used(daemon, caller) if caller.limits is not None else None,
    )


@router.post("/password", responses=raises(TooManyAttempts))
async def change_password(
    daemon: Daemon,
    cookies: CookieJar,
    caller: Person,
    request: Request,
    response: Response,
    body: schemas.ChangePassword,
) -> schemas.Tokens:
    """Change one's own password. Every session ends, and the answer is a new one."""
    if body.cookie:
        cookies.check_allowed(request)
    try:
        with _failures_counted(daemon):
            tokens = await daemon.sessions.change_password(
                caller.name,
                body.current_password.get_secret_value(),
                body.password.get_secret_value(),
                actor=actor_of(caller, daemon, request),
                client=_client(request),
            )
    except AuthenticationFailed:
        raise PermissionDenied("The current password is wrong.", param="current_password") from None
    daemon.rights_changed()
    return _answer(tokens, response, cookies if body.cookie else None)


def _client(request: Request) -> str:
    return request.headers.get("user-agent", "")[:200]


async def _used(daemon: Services, caller: Principal) -> schemas.MyUse:
    await daemon.limits.prepare(caller)
    use = daemon.limits.use(caller)
    return schemas.MyUse(
        requests=use.requests_used,
        tokens=use.tokens_used,
        in_flight=use.in_flight,
        tokens_today=use.today,
        tokens_this_month=use.this_month,
    )


async def _logged_in(daemon: Services, request: Request, name: str, password: str) -> Tokens:
    address = daemon.client_address(request.scope)
    with _failures_counted(daemon):
        return await daemon.sessions.login(
            name, password, address=address, client=_client(request), on_ended=daemon.rights_changed
        )


@contextmanager
def _failures_counted(daemon: Services) -> Iterator[None]:
    """Around whatever judges a password."""
    try:
        yield
    except (AuthenticationFailed, TooManyAttempts) as refusal:
        daemon.bus.publish(LoginFailed(throttled=isinstance(refusal, TooManyAttempts)))
        raise


def _answer(tokens: Tokens, response: Response, cookies: Cookies | None) -> schemas.Tokens:
    """The tokens as cookies, and then never in the body, or in the body."""
    user = schemas.User.model_validate(tokens.user)
    if cookies is not None:
        cookies.set(response, tokens)
        return schemas.Tokens(user=user, expires_in=tokens.expires_in)
    return schemas.Tokens(
        user=user,
        expires_in=tokens.expires_in,
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
    )


def _session(caller: Principal) -> str:
    if caller.session_id is None:
        raise PermissionDenied("Only who has logged in with a name and a password can do that.")
    return caller.session_id
