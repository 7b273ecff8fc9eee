"""Writes ``llmgate.toml.example`` from the settings themselves, so that it cannot tell anything else.

python -m llmgate.config_example > llmgate.toml.example
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from llmgate.config import DEFAULT_UPSTREAM, Section, Settings, UpstreamSettings

WIDTH = 100
HEADER = """\
Every setting of llmgate, with its default. Uncomment what you want to change.

Order of precedence: command-line flags, LLMGATE_<SECTION>__<KEY> in the environment (for example
LLMGATE_SERVER__PORT=8080; lists separated by commas), this file, the database, the defaults.
Times are in seconds unless the name says otherwise.

What is marked [run time] can be changed while the daemon runs: here, followed by
`llmgate config reload` (or SIGHUP); or, if it is not set here, by `llmgate settings set`, which
writes to the database and holds for all daemons. Upstreams can be reloaded as well. Everything
else takes effect at the next start.

`llmgate config check` tells whether a file is usable, `llmgate config show --origin` what is in
effect and why."""


def render() -> str:
    """The example file."""
    parts = [_comment(HEADER)]
    for name, field in Settings.model_fields.items():
        table = field.annotation
        if isinstance(table, type) and issubclass(table, Section):
            parts.append(_table(f"[{name}]", field, table))
    parts.append(_upstreams(Settings.model_fields["upstreams"]))
    return "\n\n".join(parts) + "\n"


def _table(heading: str, field: FieldInfo, table: type[BaseModel]) -> str:
    settings = [
        _setting(key, entry, entry.get_default(call_default_factory=True)) for key, entry in table.model_fields.items()
    ]
    return "\n".join([_comment(field.description or ""), heading, *settings])


def _upstreams(field: FieldInfo) -> str:
    """The table that may be repeated. All of it is commented: one that is there must have a name and a URL."""
    settings = [
        _setting(key, entry, getattr(DEFAULT_UPSTREAM, key)) for key, entry in UpstreamSettings.model_fields.items()
    ]
    return "\n".join([_comment(field.description or ""), "#[[upstreams]]", *settings])


def _setting(key: str, field: FieldInfo, default: Any) -> str:
    """A setting with its default; TOML has no null, so what has none is shown with an example."""
    value = default if default is not None else (field.examples or [""])[0]
    extra = field.json_schema_extra
    mark = " [run time]" if isinstance(extra, dict) and extra.get("run_time") else ""
    return f"{_comment((field.description or '') + mark)}\n#{key} = {_toml(value)}"


def _toml(value: Any) -> str:
    """A default as TOML: for these types JSON is the same."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return json.dumps(str(value) if isinstance(value, Path) else value)


def _comment(text: str) -> str:
    lines = [part for line in text.splitlines() for part in (textwrap.wrap(line, WIDTH - 2) or [""])]
    return "\n".join(f"# {line}".rstrip() for line in lines)


if __name__ == "__main__":
    sys.stdout.write(render())
