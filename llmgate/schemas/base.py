"""What all wire types share."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SecretStr,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Level = Annotated[int, Field(ge=1, le=5, description="1 is served first, 5 last.")]
RoleName = Literal["user", "admin"]

# What a name may look like is decided by the store, in one place; here it is only bounded.
Name = Annotated[str, Field(max_length=200)]
Password = Annotated[SecretStr, Field(max_length=1024)]


def _written(value: object) -> object:
    """Pydantic would also read a number as a time, in seconds or milliseconds as it finds fit."""
    if isinstance(value, str) and not _RFC3339.match(value):
        raise ValueError("write a time like 2026-12-31T08:00:00Z")
    if not isinstance(value, str | datetime):
        raise ValueError("write a time as text, like 2026-12-31T08:00:00Z")
    return value


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", re.ASCII)
When = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_written)]
"""A time that a client sends: RFC 3339, with its offset."""


class Request(BaseModel):
    """What a client sends. Nothing is converted: "5" is no number, and 1 is not true."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, strict=True)


class Update(Request):
    """A change: only what is sent is changed. Null is for what can be taken away, named in ``nullable``."""

    nullable: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def changes_something(self) -> Self:
        changes = self.changes()
        if not changes:
            raise ValueError("nothing to change")
        for name, value in changes.items():
            if value is None and name not in self.nullable:
                raise ValueError(f"{name} must not be null")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe what ``changes_something`` demands: not empty, and null only where it takes something away."""
        schema = handler(core_schema)
        described = handler.resolve_ref_schema(schema)
        described["minProperties"] = 1
        for name, field in described.get("properties", {}).items():
            field.pop("default", None)
            choices = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
            if name not in cls.nullable and len(choices) == 1:
                del field["anyOf"]
                field.update(choices[0])
        return schema

    def changes(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


class Answer(BaseModel):
    """What the daemon answers."""

    model_config = ConfigDict(extra="allow", from_attributes=True)

    volatile: ClassVar[frozenset[str]] = frozenset()
    """Fields that change by themselves: they are not part of a row's version."""


Row = TypeVar("Row", bound=Answer)


class Page(Answer, Generic[Row]):
    """Part of a list. ``next`` is the cursor of the following part, null at the end."""

    data: list[Row]
    next: str | None = None
