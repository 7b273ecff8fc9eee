"""Settings: precedence, what is refused and how it is said, and the example file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from llmgate.config import Section, Settings, load
from llmgate.config_example import render
from llmgate.errors import ConfigError

EXAMPLE = Path(__file__).parent.parent / "llmgate.toml.example"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "llmgate.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path | None = None, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, environ=environ)
    assert caught.value.exit_code == 6
    return caught.value.text()


def test_the_defaults_serve_an_ollama_on_this_machine_to_this_machine() -> None:
    settings = load(None, environ={}).settings
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 11435)
    assert [upstream.url for upstream in settings.upstreams] == ["http://127.0.0.1:11434"]
    assert settings.server.trusted_proxies == []


def test_flags_go_before_the_environment_before_the_file_before_the_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, '[server]\nport = 1\nhost = "file"\ndrain_seconds = 3\n')
    environ = {"LLMGATE_SERVER__PORT": "2", "LLMGATE_SERVER__HOST": "environment"}
    loaded = load(path, {"server": {"port": 4}}, environ)
    server = loaded.settings.server
    assert (server.port, server.host, server.drain_seconds) == (4, "environment", 3)
    origins = [loaded.origin(f"server.{key}") for key in ("port", "host", "drain_seconds", "public_url")]
    assert origins == ["flag", "environment", "file", "default"]


def test_a_list_in_the_environment_is_separated_by_commas() -> None:
    settings = load(None, environ={"LLMGATE_SERVER__TRUSTED_PROXIES": "10.0.0.1,10.0.0.2"}).settings
    assert settings.server.trusted_proxies == ["10.0.0.1", "10.0.0.2"]


def test_other_variables_of_the_command_are_none_of_the_daemons_business() -> None:
    load(None, environ={"LLMGATE_TOKEN": "x", "LLMGATE_URL": "http://x", "LLMGATE_CONFIG_DIR": "/x"})


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[server]\nprot = 1\n", ["server.prot", "llmgate.toml", "Did you mean 'port'?"]),
        ("[sever]\nport = 1\n", ["sever", "llmgate.toml", "Did you mean 'server'?"]),
        ("[server]\nport = 70000\n", ["server.port", "llmgate.toml", "65535"]),
        ('[server]\ntrusted_proxies = ["0.0.0.0/0"]\n', ["whole internet"]),
        ('[[upstreams]]\nname = "a"\n', ["upstreams.0.url", "required"]),
        ('[[upstreams]]\nname = "a"\nurl = "ftp://x"\n', ["http://host:port"]),
        ('[[upstreams]]\nname = "a"\nurl = "http://user:secret@x"\n', ["without user"]),
        ('[[upstreams]]\nname = "A b"\nurl = "http://x"\n', ["upstreams.0.name"]),
        ('[[upstreams]]\nname = "a"\nurl = "http://x"\n[[upstreams]]\nname = "a"\nurl = "http://y"\n', ["two", "'a'"]),
        ("upstreams = []\n", ["at least one [[upstreams]] table"]),
        ('[database]\nurl = "mysql://u:secret@h/n"\n', ["database.url", "llmgate.toml", "postgresql://"]),
        ('[database]\nurl = "postgresql://u:se@cret@h/n"\n', ["database.url", "llmgate.toml", "%40"]),
        ("port = 1\n", ["port", "[section]"]),
        ("[server\n", ["not valid TOML"]),
        ("[queue]\naged_share = 1.5\n", ["queue.aged_share"]),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_the_fix(tmp_path: Path, text: str, parts: list[str]) -> None:
    message = refusal(written(tmp_path, text))
    for part in parts:
        assert part in message, message
    assert "\n" not in message
    assert "secret" not in message


def test_a_wrong_variable_is_refused_with_the_nearest_name() -> None:
    assert "Did you mean 'LLMGATE_SERVER__PORT'?" in refusal(LLMGATE_SERVER__PROT="1")
    assert "Did you mean 'LLMGATE_SERVER__PORT'?" in refusal(LLMGATE_SEVER__PORT="1")
    assert "the environment" in refusal(LLMGATE_SERVER__PORT="many")


@pytest.mark.parametrize("key", ["0__URL", "URL", "0_url"])
def test_upstreams_in_the_environment_are_refused_with_where_they_belong(key: str) -> None:
    assert "in the file, not in the environment" in refusal(None, **{f"LLMGATE_UPSTREAMS__{key}": "http://x"})


def test_each_value_of_an_upstream_has_its_own_origin(tmp_path: Path) -> None:
    loaded = load(written(tmp_path, '[[upstreams]]\nname = "a"\nurl = "http://x"\n'), environ={})
    assert [loaded.origin(f"upstreams[0].{key}") for key in ("name", "url", "slots")] == ["file", "file", "default"]


def test_a_file_that_is_not_there_is_refused_with_what_writes_one(tmp_path: Path) -> None:
    assert "llmgate init" in refusal(tmp_path / "none.toml")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "llmgate.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "not valid TOML" in refusal(path)


def test_secrets_are_not_shown_by_the_settings() -> None:
    settings = load(None, environ={"LLMGATE_DATABASE__URL": "postgresql://u:hunter2@h/n"}).settings
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


def test_the_example_file_is_what_the_settings_say() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == render(), (
        "llmgate.toml.example is old: python -m llmgate.config_example > llmgate.toml.example"
    )


def test_the_example_file_as_it_is_changes_nothing() -> None:
    assert load(EXAMPLE, environ={}).settings == load(None, environ={}).settings


def test_the_example_file_with_everything_uncommented_holds_every_default(tmp_path: Path) -> None:
    text = re.sub(r"^#(?=\w+ = |\[\[)", "", render(), flags=re.MULTILINE)
    shown = load(written(tmp_path, text), environ={}).settings.model_dump()
    default = load(None, environ={}).settings.model_dump()
    # What has no default is shown with an example.
    shown["state"]["secret_file"] = shown["upstreams"][0]["pool"] = None
    shown["queue"].update(tls_ca_file=None, tls_cert_file=None, tls_key_file=None)
    assert shown == default


def every_setting(table: type[Any], prefix: str = "") -> Mapping[str, str | None]:
    described: dict[str, str | None] = {}
    for key, field in table.model_fields.items():
        described[prefix + key] = field.description
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            described.update(every_setting(field.annotation, f"{key}."))
    return described


def test_every_setting_is_described() -> None:
    assert [key for key, text in every_setting(Settings).items() if not text] == []


@pytest.mark.parametrize(("days", "good"), [(0, True), (1, False), (31, False), (32, True)])
def test_hourly_sums_are_kept_for_a_whole_month_because_budgets_are_counted_from_them(
    tmp_path: Path, days: int, good: bool
) -> None:
    file = tmp_path / "llmgate.toml"
    file.write_text(f"[usage]\nusage_days = {days}\n")
    if good:
        assert load(file, environ={}).settings.usage.usage_days == days
    else:
        with pytest.raises(ConfigError, match=r"usage\.usage_days"):
            load(file, environ={})
