"""What exists before anybody has logged in: the first administrator, and the things of the demo."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from llmgate.daemon.auth import api_keys, registration
from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.store import keys, tokens, users
from llmgate.daemon.store.database import Database


@dataclass(frozen=True, slots=True)
class DemoAccess:
    """What somebody who tries llmgate needs to know."""

    admin_user: str
    admin_password: str
    api_key: str
    registration_token: str


async def create_first_admin(database: Database, hasher: PasswordHasher, name: str, password: str) -> None:
    """Raises Conflict when there is, or ever was, an administrator."""
    digest = await hasher.hash(password)
    async with database.begin() as tx:
        await users.create_first_admin(tx, name=name, password_hash=digest)


async def create_demo_access(database: Database, hasher: PasswordHasher, secret: ServerSecret) -> DemoAccess:
    """An administrator, an API key and a registration token for ten users, in an empty database."""
    key = api_keys.generate(secret)
    token, token_digest = registration.new_token(secret)
    access = DemoAccess("admin", secrets.token_urlsafe(12), key.text, token)
    await create_first_admin(database, hasher, access.admin_user, access.admin_password)
    async with database.begin() as tx:
        await keys.create(tx, key_id=key.id, digest=key.digest, last4=key.last4, name="demo")
        await tokens.create(tx, digest=token_digest, label="demo", role=Role.USER, max_uses=10)
    return access
