"""The one shape of errors in our own APIs."""

from __future__ import annotations

from pydantic import Field

from llmgate.schemas.base import Answer


class Fault(Answer):
    """One thing that is wrong with a request. ``field`` is empty where it is the request as a whole."""

    field: str
    message: str


class Problem(Answer):
    """An error, as a problem document of RFC 9457. ``code`` is permanent, the texts are for people and may change."""

    type: str = Field(description="The code as a URN: `urn:llmgate:error:<code>`.")
    title: str = Field(description="What kind of error it is.")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="What is wrong with this very request.")
    code: str = Field(pattern="^[a-z_]+$", description="The permanent name of this kind of error.")
    request_id: str = Field(description="By which the daemon's log names this request.")
    hint: str = Field("", description="What to do about it.")
    param: str = Field("", description="The field of the request that is at fault.")
    id: str = Field("", description="What the error is about.")
    errors: list[Fault] = Field([], description="Everything that is wrong with the request, field by field.")
