"""Access tokens: JSON Web Tokens (RFC 7519) that only this gateway makes and reads.

python-jose is a general library; what it would also accept is refused before it sees the token: any header but our
own, byte for byte (no other algorithm, no ``kid``, ``crit`` or encryption), and anything longer than 2 KiB.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from jose import JWTError, jwt

from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.ids import new_id
from llmgate.errors import AuthenticationFailed

_ALGORITHM = "HS256"
_HEADER = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."  # {"alg":"HS256","typ":"JWT"}
_NAME = "llmgate"
_LONGEST = 2048
_FORM = re.compile(re.escape(_HEADER) + r"[0-9A-Za-z_-]+\.[0-9A-Za-z_-]{43}", re.ASCII)
_CLOCK_SKEW = timedelta(seconds=5)
_REQUIRED = ("iss", "aud", "sub", "jti", "iat", "nbf", "exp")


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says: this user, in this session, until then."""

    user_id: str
    session_id: str
    expires_at: datetime


class AccessTokens:
    """Makes and reads access tokens that live for so many ``minutes``, asked when each is made."""

    def __init__(self, secret: ServerSecret, *, minutes: Callable[[], int]) -> None:
        self._key = secret.derive("access-token").hex()
        self._minutes = minutes

    @property
    def seconds(self) -> int:
        return self._minutes() * 60

    def issue(self, *, user_id: str, session_id: str, now: datetime) -> str:
        claims = {
            "iss": _NAME,
            "aud": _NAME,
            "sub": user_id,
            "sid": session_id,
            "jti": new_id(),
            "iat": now,
            "nbf": now - _CLOCK_SKEW,  # the clocks of other daemons may be behind
            "exp": now + timedelta(minutes=self._minutes()),
        }
        return str(jwt.encode(claims, self._key, algorithm=_ALGORITHM))

    def read(self, token: str) -> Claims:
        """The claims of a valid token. Raises AuthenticationFailed for every other text."""
        if len(token) > _LONGEST or not _FORM.fullmatch(token):
            raise AuthenticationFailed
        options = {f"require_{claim}": True for claim in _REQUIRED}
        try:
            claims = jwt.decode(
                token, self._key, algorithms=[_ALGORITHM], audience=_NAME, issuer=_NAME, options=options
            )
            user_id, session_id = claims["sub"], claims.get("sid")
            expires_at = datetime.fromtimestamp(claims["exp"], UTC)
        except (JWTError, TypeError, ValueError, OverflowError):  # jose takes the types inside the claims on trust
            raise AuthenticationFailed from None
        if not isinstance(session_id, str) or not session_id:
            raise AuthenticationFailed
        return Claims(user_id, session_id, expires_at)
