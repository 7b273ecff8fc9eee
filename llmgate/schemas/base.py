"""What all wire types share."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

Level = Annotated[int, Field(ge=1, le=5, description="1 is served first, 5 last.")]
RoleName = Literal["user", "admin"]

# What a name may look like is decided by the store, in one place; here it is only bounded.
Name = Annotated[str, Field(max_length=200)]
Password = Annotated[SecretStr, Field(max_length=1024)]


class Request(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


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
