"""The forms of API keys. What most keys need stands first: the rest is scrolled to."""

from __future__ import annotations

from llmgate import schemas
from llmgate.client import AdminClient, named
from llmgate.notation import length
from llmgate.schemas.keys import LONGEST_OVERLAP
from llmgate.tui.forms import Field, Form
from llmgate.tui.forms.common import (
    KEY_NAME,
    becomes,
    decimal,
    expires,
    key_name,
    level,
    limit,
    many,
    network,
    role,
    route,
)

LOOKED_AT = 20
"""Users among which one that fits is looked for."""
LIMITS = (
    ("requests_per_minute", "requests per minute"),
    ("tokens_per_minute", "tokens per minute"),
    ("tokens_per_day", "tokens per day"),
    ("tokens_per_month", "tokens per month"),
    ("max_concurrent", "requests at once"),
    ("max_waiting", "of them waiting"),
)
"""Names in the API, and what people call them."""


async def user_like(client: AdminClient, text: str) -> str | None:
    """A user whose name begins like this."""
    found = await client.users.page(None, LOOKED_AT, search=text)
    return next((user.name for user in found.data if user.name.startswith(text)), None)


def _bounds(key: schemas.ApiKey | None = None) -> tuple[Field, ...]:
    """What bounds a key; of one that exists, as it is now."""
    weight = f"{key.weight:g}" if key else "1"
    return (
        level(key.level if key else None, cleared="--default-level"),
        many("models", "models", "--model", "all", key.models if key else None, "--all-models"),
        expires(key.expires_at if key else None, cleared="--never-expires"),
        *(limit(name, label, getattr(key, name) if key else None) for name, label in LIMITS),
        many(
            "routes",
            "routes",
            "--route",
            "all; chat, embeddings, or /v1/models …",
            key.routes if key else None,
            "--all-routes",
            read=route,
        ),
        many(
            "cidrs",
            "networks",
            "--cidr",
            "all; 192.168.1.0/24",
            key.cidrs if key else None,
            "--all-networks",
            read=network,
            says=becomes,
        ),
        Field("weight", "weight", "--weight", read=decimal, was=weight, hint="0.01 to 100; most have 1"),
    )


def new() -> Form:
    async def send(client: AdminClient, body: schemas.KeyCreate, force: bool) -> schemas.NewApiKey:
        with named("user", body.user or "", "llmgate users list"):
            return await client.keys.create(body)

    return Form(
        "New API key",
        "keys create",
        (
            Field("name", "name", None, read=key_name, hint=KEY_NAME, required=True),
            Field("user", "user", "--user", hint="none: an application's", suggest=user_like),
            role(),
            *_bounds(),
        ),
        send,
        schemas.KeyCreate,
    )


def change(key: schemas.ApiKey) -> Form:
    return Form(
        f"Change the key {key.name}",
        "keys update",
        (Field("name", "name", "--name", read=key_name, was=key.name, hint=KEY_NAME), *_bounds(key)),
        lambda client, body, force: client.keys.update(key.id, body, force=force),
        schemas.KeyUpdate,
        target=(key.name,),
        changes=True,
        button="Change",
    )


def _overlap(text: str) -> float:
    """As long as both secrets may work. Raises ValueError."""
    seconds = length(text)
    if seconds > LONGEST_OVERLAP:
        raise ValueError(f"at most {LONGEST_OVERLAP // 86400}d")
    return seconds


def rotate(key: schemas.ApiKey) -> Form:
    overlap = Field(
        "overlap_seconds", "the old one works for", "--overlap", read=_overlap, was="1h", hint="30m, 1h, 2d, or 0"
    )
    return Form(
        f"New secret for the key {key.name}",
        "keys rotate",
        (overlap,),
        lambda client, body, force: client.keys.rotate(key.id, body),
        schemas.KeyRotate,
        target=(key.name,),
        button="Rotate",
        note="Its name, its limits and what it has used stay.",
    )
