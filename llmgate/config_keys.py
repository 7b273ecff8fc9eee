"""What there is to know of each setting by its key (``queue.aging_seconds``), read from where it is declared."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import SecretStr, ValidationError

from llmgate.config import Section, Settings
from llmgate.errors import InvalidRequest, NotFound
from llmgate.validation import explain, faults_of

_TYPES: Mapping[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
}
_LIMITS = ("type", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "enum", "items")


@dataclass(frozen=True, slots=True)
class Key:
    """One setting. ``default`` is as JSON has it, ``schema`` is the JSON Schema of its values."""

    name: str
    section: str
    field: str
    description: str
    default: Any
    schema: Mapping[str, Any]
    run_time: bool
    secret: bool

    @property
    def variable(self) -> str:
        """The environment variable that decides it, if it is set."""
        return f"LLMGATE_{self.section.upper()}__{self.field.upper()}"

    def raw(self, settings: Settings) -> Any:
        """Its value, a secret included."""
        return getattr(getattr(settings, self.section), self.field)

    def of(self, settings: Settings) -> Any:
        """Its value, as JSON has it. A secret is masked."""
        section: Section = getattr(settings, self.section)
        return section.model_dump(mode="json", include={self.field})[self.field]

    def check(self, value: Any) -> None:
        """Raises InvalidRequest for what is not of its type: ``"30"`` is not 30."""
        wanted = self.schema["type"]
        if not isinstance(value, _TYPES[wanted]) or (isinstance(value, bool) and wanted != "boolean"):
            raise InvalidRequest(f"{self.name} takes {_article(wanted)}.", param="value")


@functools.cache
def keys() -> Mapping[str, Key]:
    """Every setting outside of ``[[upstreams]]``, in the order of the file."""
    found: dict[str, Key] = {}
    for section, of in Settings.model_fields.items():
        table = of.annotation
        if not (isinstance(table, type) and issubclass(table, Section)):
            continue
        properties = table.model_json_schema(mode="validation")["properties"]
        defaults = table().model_dump(mode="json")
        for field, entry in table.model_fields.items():
            schema = properties[field]
            if "anyOf" in schema:  # it may be left out
                schema = {**schema, **schema["anyOf"][0]}
            extra = entry.json_schema_extra
            found[f"{section}.{field}"] = Key(
                name=f"{section}.{field}",
                section=section,
                field=field,
                description=entry.description or "",
                default=defaults[field],
                schema=MappingProxyType({name: schema[name] for name in _LIMITS if name in schema}),
                run_time=isinstance(extra, dict) and extra.get("run_time") is True,
                secret=entry.annotation is SecretStr,
            )
    return MappingProxyType(found)


def key_of(name: str) -> Key:
    """Raises NotFound, with the nearest name that there is."""
    found = keys().get(name)
    if found is None:
        close = difflib.get_close_matches(name[:100], keys(), n=1)
        hint = f"Did you mean {close[0]}?" if close else "See them with: llmgate settings list"
        raise NotFound("There is no such setting.", hint=hint)
    return found


def changed(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """``settings`` with these values (by key) instead. Everything is judged as a whole.

    Raises InvalidRequest, naming every key that is wrong.
    """
    sections: dict[str, Any] = {name: getattr(settings, name) for name in Settings.model_fields}
    by_section: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        key = keys()[name]
        by_section.setdefault(key.section, {})[key.field] = value
    try:
        for name, fields in by_section.items():
            # As plain values, not as an object that was judged before: so they are judged now.
            sections[name] = {**dict(sections[name]), **fields}
        judged = Settings(**sections)
    except ValidationError as failure:
        raise InvalidRequest(explain(faults_of(failure.errors(include_url=False)))) from None
    # What was set before stays known as such, and what was not does not become it.
    return settings.model_copy(update={name: getattr(judged, name) for name in by_section})


def _article(kind: str) -> str:
    names = {"boolean": "true or false", "array": "a list", "string": "a text"}
    return names.get(kind, f"{'an' if kind == 'integer' else 'a'} {kind}")
