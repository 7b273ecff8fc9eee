"""What is kept on this machine, and one's own password: forms for the dialog of the contexts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from llmgate.client import AdminClient
from llmgate.contexts.known import Known
from llmgate.contexts.stored import check_name
from llmgate.errors import InvalidRequest
from llmgate.tui.forms.fields import Field, Form, Kind
from llmgate.urls import base_url

Send = Callable[[AdminClient, Any, bool], Awaitable[Any]]


def context_form(send: Send) -> Form:
    return Form(
        "New context",
        "context create",
        (
            Field("name", "name", None, read=_name, hint="office", required=True),
            Field("address", "address", None, read=_address, hint="https://llm.example.org", required=True),
        ),
        send,
        note="Know a daemon by a name.",
    )


def rename_form(context: Known, send: Send) -> Form:
    return Form(
        f"Rename the context {context.name}",
        "context rename",
        (Field("name", "name", None, read=_name, was=context.name, required=True),),
        send,
        target=(context.name,),
        changes=True,
        button="Rename",
    )


def password_form(context: Known, send: Send) -> Form:
    return Form(
        f"New password for {context.user} at {context.url}",
        "passwd",
        (
            Field("current", "current password", "--password-stdin", Kind.SECRET, required=True),
            Field("password", "new password", "--password-stdin", Kind.SECRET, required=True, repeated=True),
        ),
        send,
        options=("--context", context.name),
        button="Change",
        note="Your other sessions end.",
    )


def _name(text: str) -> str:
    try:
        check_name(text)
    except InvalidRequest as fault:
        raise ValueError(fault.text()) from None
    return text


def _address(text: str) -> str:
    try:
        return base_url(text)
    except InvalidRequest as fault:
        raise ValueError(fault.text()) from None
