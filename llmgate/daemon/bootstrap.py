"""What exists before anybody has logged in: the first administrator, and the things of the demo."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from llmgate.daemon.auth import api_keys, registration
from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.changes import Changes, local_actor
from llmgate.daemon.store import keys, tokens, users


@dataclass(frozen=True, slots=True)
class DemoAccess:
    """What somebody who tries llmgate needs to know."""

    admin_user: str
    admin_password: str
    api_key: str
    registration_token: str


async def create_first_admin(changes: Changes, hasher: PasswordHasher, name: str, password: str) -> None:
    """Raises Conflict when there is, or ever was, an administrator."""
    digest = await hasher.hash(password)
    async with changes.begin(local_actor()) as change:
        user = await users.create_first_admin(change.tx, name=name, password_hash=digest)
        change.note("user.setup", user.id, user.name, role=user.role)


async def create_demo_access(changes: Changes, hasher: PasswordHasher, secret: ServerSecret) -> DemoAccess:
    """An administrator, an API key and a registration token for ten users, in an empty database."""
    new_key = api_keys.generate(secret)
    text, token_digest = registration.new_token(secret)
    access = DemoAccess("admin", secrets.token_urlsafe(12), new_key.text, text)
    await create_first_admin(changes, hasher, access.admin_user, access.admin_password)
    async with changes.begin(local_actor()) as change:
        key = await keys.create(change.tx, key_id=new_key.id, digest=new_key.digest, last4=new_key.last4, name="demo")
        change.note("key.create", key.id, key.name, role=key.role)
        token = await tokens.create(change.tx, digest=token_digest, label="demo", role=Role.USER, max_uses=10)
        change.note("token.create", token.id, token.label, role=token.role, max_uses=token.max_uses)
    return access
