"""Forms as declarations: what is asked for, what was typed, and what follows from it. No terminal is needed here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from pydantic import BaseModel, ValidationError

from llmgate.client import AdminClient
from llmgate.tui.errors import LOCKED_OUT, Warnings
from llmgate.tui.forms.plain import plainly
from llmgate.tui.twin import twin
from llmgate.validation import faults_of


class Kind(Enum):
    """How a field is typed."""

    TEXT = auto()
    MANY = auto()
    """Several words, with commas or spaces between them."""
    CHOICE = auto()
    SWITCH = auto()
    SECRET = auto()
    """Hidden as it is typed. Its twin reads it from standard input."""


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that a form asks for; ``name`` is that of the field of the request.

    ``flag`` is the option of the CLI twin, None for an argument; a switch has one for on and one for off, as
    ``--disable/--enable``. ``read`` makes the value of what was typed, or raises ValueError saying what is wrong with
    it; for MANY it reads each word. ``was`` is what a change begins with. ``cleared`` is the option of the twin for
    emptying the field, and its value then ``nothing``. ``choices`` are values of a CHOICE, best with "" for none.
    """

    name: str
    label: str
    flag: str | None
    kind: Kind = Kind.TEXT
    read: Callable[[str], Any] = str
    was: str = ""
    hint: str = ""
    choices: tuple[str, ...] = ()
    cleared: str | None = None
    nothing: Any = None
    required: bool = False
    repeated: bool = False
    """A secret that is to be typed twice."""
    suggest: Callable[[AdminClient, str], Awaitable[str | None]] | None = None
    """What a line that begins like this may go on to be, as the daemon knows it."""
    given: bool = False
    """Sent although nobody has touched it: what it begins with is not what the daemon takes anyway."""
    none: str = "(none)"
    """How the choice of nothing is shown."""
    says: Callable[[str], str] | None = None
    """What is worth saying of what was typed, when nothing is wrong with it; "" for nothing."""


@dataclass(frozen=True, slots=True)
class Form:
    """What is asked for, and what is done with it.

    ``verb`` is that of the CLI twin, ``target`` its first argument. ``body`` judges everything together; ``send`` does
    it, given the body (or, where there is none, the values) and whether it may lock its author out. ``changes``: only
    what differs from what was is sent.
    """

    title: str
    verb: str
    fields: tuple[Field, ...]
    send: Callable[[AdminClient, Any, bool], Awaitable[Any]]
    body: type[BaseModel] | None = None
    target: tuple[str, ...] = ()
    changes: bool = False
    button: str = "Create"
    options: tuple[str, ...] = ()
    """Options of the twin that are always there."""
    note: str = ""
    """A sentence above the fields."""
    warnings: Warnings = LOCKED_OUT
    """Refusals of exactly these kinds are asked about, and then sent again with force."""


@dataclass(frozen=True, slots=True)
class Fill:
    """A form as it was filled in: the values to send, what is wrong by field ("" for the whole), and the twin."""

    values: Mapping[str, Any]
    faults: Mapping[str, str]
    twin: str
    body: BaseModel | None

    @property
    def complete(self) -> bool:
        return not self.faults


def fill(form: Form, typed: Mapping[str, str]) -> Fill:
    """What follows from what was typed, by name of the field. Switches are "on" or "off"."""
    values: dict[str, Any] = {}
    faults: dict[str, str] = {}
    words: list[str] = [*form.target]
    options: list[str] = [*form.options]
    for field in form.fields:
        text = typed.get(field.name, field.was).strip() if field.kind is not Kind.SECRET else typed.get(field.name, "")
        if text == field.was.strip() and (form.changes or (text and not field.given)):
            continue
        if not text:
            _empty(field, form.changes, values, faults, options)
            continue
        try:
            values[field.name] = _value(field, text)
        except ValueError as fault:
            faults[field.name] = str(fault)
        _tell(field, text, words, options)
    body = None
    if form.changes and not values and not faults:
        faults = {"": "Nothing is changed yet."}
    if form.body is not None:  # what is wrong with one field is told although another one is wrong as well
        body, more = _judged(form.body, values)
        faults |= {name: text for name, text in more.items() if name not in faults and (name or not faults)}
    return Fill(values, faults, twin(form.verb, *words, options=options), None if faults else body)


def parts(text: str) -> list[str]:
    """The words of a MANY field."""
    return [word for word in re.split(r"[,\s]+", text) if word]


def _empty(field: Field, changes: bool, values: dict[str, Any], faults: dict[str, str], options: list[str]) -> None:
    if field.required:
        faults[field.name] = "is needed"
    elif changes and field.cleared is not None:
        values[field.name] = field.nothing
        options += shlex.split(field.cleared)
    elif changes and field.kind is not Kind.SECRET:
        faults[field.name] = "cannot be empty"


def _value(field: Field, text: str) -> Any:
    if field.kind is Kind.SWITCH:
        return text == "on"
    if field.kind is Kind.MANY:
        return [field.read(word) for word in parts(text)]
    return field.read(text)


def _tell(field: Field, text: str, words: list[str], options: list[str]) -> None:
    """Add it to the twin."""
    if field.flag is None:
        words.append(text)
    elif field.kind is Kind.SWITCH:
        on, _, off = field.flag.partition("/")
        options += [name for name in (on if text == "on" else off,) if name]
    elif field.kind is Kind.SECRET:
        options += [field.flag] if field.flag not in options else []
    else:
        for word in parts(text) if field.kind is Kind.MANY else [text]:
            options += [field.flag, word]


def _judged(kind: type[BaseModel], values: Mapping[str, Any]) -> tuple[BaseModel | None, dict[str, str]]:
    try:
        return kind(**values), {}
    except ValidationError as failure:
        errors = failure.errors(include_url=False, include_input=False)
        faults = faults_of([{"loc": error["loc"], "msg": plainly(error, kind)} for error in errors])
        return None, {fault["field"].partition(".")[0]: fault["message"] for fault in faults}
