"""What is asked for to add an upstream, and to change one."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr, model_validator

from llmgate import schemas
from llmgate.errors import Conflict
from llmgate.tui.forms import Field, Form, Kind
from llmgate.tui.forms.common import decimal, number
from llmgate.urls import fault_of_upstream_url, is_base_url

KINDS = ("ollama", "openai")


class Change(schemas.UpstreamUpdate):
    """A change as the form asks for it: taking the api key away is a field of its own."""

    @model_validator(mode="before")
    @classmethod
    def no_key_is_null(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = dict(values)
        if values.pop("no_api_key", False):
            if values.get("api_key") is not None:
                raise ValueError("a new api key and none exclude each other")
            values["api_key"] = None
        return values


def _name(text: str) -> str:
    """A name as the daemon takes it. Raises ValueError."""
    if not re.fullmatch("[a-z0-9_-]{1,40}", text):
        raise ValueError("a-z, 0-9, - and _, at most 40 of them")
    return text


def _url(text: str) -> str:
    """Raises ValueError when it is no base URL of an upstream."""
    if not is_base_url(text):
        raise ValueError("write http://host:port, without user, query or fragment")
    if fault := fault_of_upstream_url(text):
        raise ValueError(fault)
    if urlsplit(text).path.rstrip("/").rpartition("/")[2] in ("v1", "api"):
        raise ValueError("leave /v1 or /api away: it is added to each request")
    return text


def _timeouts(upstream: schemas.Upstream | None) -> list[Field]:
    """In seconds; the hints are what the daemon takes by itself."""
    usual = {"connect_timeout": "3", "first_byte_timeout": "600, loading a model included", "idle_timeout": "120"}
    return [
        Field(
            name,
            name.replace("_", " "),
            f"--{name.replace('_', '-')}",
            read=decimal,
            was="" if upstream is None else str(getattr(upstream, name)).removesuffix(".0"),
            hint=f"seconds; {hint}",
        )
        for name, hint in usual.items()
    ]


def new() -> Form:
    return Form(
        "New upstream",
        "upstreams create",
        (
            Field("name", "name", None, read=_name, hint="a-z, 0-9, - and _", required=True),
            Field("url", "url", None, read=_url, hint="http://10.0.0.7:11434, without /v1 or /api", required=True),
            Field("kind", "kind", "--kind", Kind.CHOICE, was="ollama", choices=KINDS),
            Field("slots", "slots", "--slots", read=number, was="1", hint="requests that it runs at once"),
            Field("pool", "pool", "--pool", read=_name, hint="one of its own"),
            Field("api_key", "api key", "--api-key-stdin", Kind.SECRET, SecretStr, hint="none"),
            *_timeouts(None),
        ),
        lambda client, body, force: client.upstreams.create(body),
        schemas.UpstreamCreate,
    )


def change(upstream: schemas.Upstream) -> Form:
    pool = "" if upstream.pool == upstream.name else upstream.pool
    kept = "empty: it stays as it is" if upstream.api_key_set else "none"
    away = Field("no_api_key", "take the key away", "--no-api-key/", Kind.SWITCH, was="off")
    return Form(
        f"Change the upstream {upstream.name}",
        "upstreams update",
        (
            Field("url", "url", "--base-url", read=_url, was=upstream.url),
            Field(
                "kind",
                "kind",
                "--kind",
                Kind.CHOICE,
                was=upstream.kind,
                choices=tuple(dict.fromkeys((*KINDS, upstream.kind))),
            ),
            Field("slots", "slots", "--slots", read=number, was=str(upstream.slots)),
            Field("pool", "pool", "--pool", read=_name, was=pool, hint="one of its own", cleared="--own-pool"),
            Field("api_key", "api key", "--api-key-stdin", Kind.SECRET, SecretStr, hint=kept),
            *([away] if upstream.api_key_set else []),
            *_timeouts(upstream),
        ),
        lambda client, body, force: client.upstreams.update(upstream.name, body, force=force),
        Change,
        target=(upstream.name,),
        changes=True,
        button="Change",
        note="What runs on it ends as it began.",
        warnings=(Conflict,),
    )
