"""Registration: whoever holds a token may make an account."""

from __future__ import annotations

import hmac
import re

from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.sealed import is_sealed, seal
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.auth.throttle import LoginThrottle
from llmgate.daemon.changes import Changes
from llmgate.daemon.ids import random_base62
from llmgate.daemon.store import checks, tokens, users
from llmgate.daemon.store.activity import Actor
from llmgate.daemon.store.database import Database
from llmgate.daemon.store.users import User
from llmgate.errors import AuthenticationFailed

_FORM = re.compile(r"llmr_[0-9A-Za-z]{38}", re.ASCII)


def new_token(secret: ServerSecret) -> tuple[str, str]:
    """A token's text, to be shown once, and the digest to be stored."""
    text = seal(f"llmr_{random_base62(32)}")
    return text, _digest(secret, text)


async def register(
    database: Database,
    changes: Changes,
    hasher: PasswordHasher,
    secret: ServerSecret,
    throttle: LoginThrottle,
    *,
    token: str,
    name: str,
    password: str,
    address: str = "",
) -> User:
    """Use the token once and make the user with the role and level that it grants, both or neither.

    Raises AuthenticationFailed when the token is not valid, before anything else is looked at; InvalidRequest for an
    unusable name or password; Conflict when the name is taken, which leaves the token unused; TooManyAttempts after
    some names that were taken.
    """
    token = token.strip()
    if not (_FORM.fullmatch(token) and is_sealed(token)):
        raise _refused()
    digest = _digest(secret, token)
    async with database.read() as tx:
        token_id = await tokens.usable_id(tx, digest)
    if token_id is None:
        raise _refused()
    checks.user_name(name)
    hasher.check(password)
    # The digest stands for the token, as it is like no name that anybody logs in with.
    with throttle.attempt(digest, address):
        async with database.read() as tx:
            await users.check_free(tx, name)
        hashed = await hasher.hash(password)
        async with changes.begin(Actor("token", token_id, name, address)) as change:
            grant = await tokens.take(change.tx, digest)
            user = await users.create(change.tx, name=name, password_hash=hashed, role=grant.role, level=grant.level)
            change.note("user.register", user.id, user.name, role=user.role, level=user.level, token=grant.id)
    return user


def _digest(secret: ServerSecret, text: str) -> str:
    return hmac.digest(secret.derive("registration-token"), text.encode(), "sha256").hex()


def _refused() -> AuthenticationFailed:
    return AuthenticationFailed("The registration token is not valid.", hint="Ask an administrator for a new one.")
