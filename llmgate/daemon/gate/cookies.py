"""Session cookies: what a browser keeps, out of reach of scripts.

Over https they are ``Secure``. Over http they are given where the operator allows it, and on the machine itself: there
nobody listens in between. A ``Secure`` cookie would not do there, for not all browsers take one from
http://localhost (Safari does not).
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request, Response

from llmgate.config import ServerSettings
from llmgate.daemon.auth import credentials
from llmgate.daemon.auth.sessions import Tokens
from llmgate.daemon.services import Services
from llmgate.errors import AuthenticationFailed, InvalidRequest, PermissionDenied

REFRESH_PATH = "/gate/auth"
"""Below the public path. The refresh token is sent nowhere else. A ``__Host-`` cookie would need the path ``/``, so
this one is ``__Secure-``."""


@dataclass(frozen=True, slots=True)
class Cookies:
    """The two cookies of a session, under the names and rules that the public URL allows."""

    server: ServerSettings
    refresh_days: int

    @property
    def _secure(self) -> bool:
        return self.server.public_url.startswith("https://")

    @property
    def _refresh_name(self) -> str:
        return "__Secure-llmgate-refresh" if self._secure else "llmgate-refresh"

    @property
    def _refresh_path(self) -> str:
        return f"{self.server.public_path}{REFRESH_PATH}"

    def are_allowed(self, request: Request) -> bool:
        """Whether a browser that sends this request may keep a session in cookies."""
        if self._secure or self.server.allow_insecure_cookies:
            return True
        return credentials.is_local(self.server) and credentials.stays_here(request.headers.raw)

    def check_allowed(self, request: Request) -> None:
        """Raises InvalidRequest where a cookie would cross the network in clear."""
        if not self.are_allowed(request):
            raise InvalidRequest(
                "Session cookies need https.",
                hint="Set server.public_url to an https URL, or server.allow_insecure_cookies to true.",
                param="cookie",
            )

    def set(self, response: Response, tokens: Tokens) -> None:
        name = credentials.cookie_name(self.server)
        self._set(response, name, tokens.access_token, "/", tokens.expires_in)
        self._set(response, self._refresh_name, tokens.refresh_token, self._refresh_path, self.refresh_days * 86_400)

    def clear(self, response: Response) -> None:
        self._set(response, credentials.cookie_name(self.server), "", "/", 0)
        self._set(response, self._refresh_name, "", self._refresh_path, 0)

    def refresh_token(self, request: Request) -> str:
        """The refresh token of a browser. Raises AuthenticationFailed without one, PermissionDenied from a
        foreign page."""
        token = request.cookies.get(self._refresh_name)
        if not token:
            raise AuthenticationFailed("There is no session to refresh.", hint="Log in.")
        origin = credentials.public_origin(self.server)
        if not credentials.may_change_state(request.headers.raw, request.method, origin):
            raise PermissionDenied("A page of another site may not do that.")
        return token

    def _set(self, response: Response, name: str, value: str, path: str, max_age: int) -> None:
        response.set_cookie(
            name, value, max_age=max_age, path=path, secure=self._secure, httponly=True, samesite="strict"
        )


def cookies_of(daemon: Services) -> Cookies:
    """By the settings of this moment."""
    return Cookies(daemon.settings.server, daemon.settings.auth.refresh_days)
