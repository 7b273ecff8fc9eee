"""Settings, from the keyboard to the daemon: edited as their schema says, taken back, and the file read again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Select

from llmgate import schemas
from llmgate.config import load
from llmgate.tui.forms import Kind
from llmgate.tui.screens.settings import Settings, chosen, field_of, reloaded, typed
from llmgate.values import sized
from tests.admin.harness import Site, run_site
from tests.tui.harness import Hand, dashboard, parses

AGING = "queue.aging_seconds"


async def opened(hand: Hand, key: str) -> Settings:
    await hand.go("settings")
    return await hand.on(Settings, key)


async def choosing(hand: Hand, key: str) -> None:
    """The form of a setting that is chosen, not typed. Its words are no sign of it: the list says them too."""
    await opened(hand, key)
    await hand.press("e")
    await hand.until(lambda: isinstance(hand.app.focused, Select), "a choice")


async def told(hand: Hand, key: str) -> dict[str, Any]:
    """What the daemon says of a setting."""
    found: dict[str, Any] = (await hand.site.admin.get(f"/admin/v1/settings/{key}")).json()
    return found


async def test_a_number_is_judged_as_one_types_and_set_in_the_daemon(hand: Hand) -> None:
    await opened(hand, AGING)
    await hand.press("e")
    await hand.seen("Now it is 30, which the default decides")
    await hand.press("ctrl+u")
    await hand.write("0")
    await hand.seen("takes a number above 0 to 86400")
    await hand.press("ctrl+u")
    await hand.write("12.5")
    await hand.gone("takes a number above 0 to 86400\n")
    await hand.says_twin(f"llmgate settings set {AGING} 12.5")
    assert parses(hand.twin) == "settings set"
    await hand.press("ctrl+s")
    await hand.hears(f"{AGING} is 12.5 now")
    await hand.seen("database")
    assert (await told(hand, AGING))["value"] == 12.5


async def test_choices_and_switches_are_chosen(hand: Hand) -> None:
    await choosing(hand, "log.level")
    await hand.press("enter", "down", "enter")
    await hand.says_twin("llmgate settings set log.level warning")
    await hand.press("ctrl+s")
    await hand.hears("log.level is warning now")
    await choosing(hand, "auth.registration")
    await hand.press("enter", "up", "enter")
    await hand.says_twin("llmgate settings set auth.registration off")
    assert parses(hand.twin) == "settings set"
    await hand.press("ctrl+s")
    await hand.hears("auth.registration is no now")
    assert (await told(hand, "auth.registration"))["value"] is False


async def test_a_form_begins_with_what_holds_now(hand: Hand) -> None:
    listing = await opened(hand, AGING)
    await hand.press("space")
    await hand.site.admin.put(f"/admin/v1/settings/{AGING}", json={"value": 20})
    assert listing.table.row is not None
    assert listing.table.row.value == 30.0
    await hand.press("e")
    await hand.seen("Now it is 20")


def test_a_newer_daemon_may_have_values_that_are_not_known_here() -> None:
    setting = schemas.Setting.model_validate(
        {"key": "x.y", "value": "zzz", "default": "a", "origin": "default", "mutable": True, "description": ""}
        | {"accepts": {"enum": ["a", "b"]}, "updated_at": None, "updated_by": None}
    )
    assert field_of(setting).choices == ("a", "b", "zzz")


def test_behind_a_number_of_bytes_stands_how_much_that_is() -> None:
    assert sized("server.max_body_bytes", 33554432) == "33554432 (32 MiB)"
    assert sized("server.max_body_bytes", 512) == 512
    assert sized("queue.window", 2000) == 2000
    assert sized("queue.aging_seconds", 0.25) == "0.25"


async def test_a_change_is_taken_back_after_a_question(hand: Hand) -> None:
    await hand.site.admin.put(f"/admin/v1/settings/{AGING}", json={"value": 20})
    listing = await opened(hand, AGING)
    await hand.until(lambda: listing.table.row is not None and listing.table.row.value == 20.0, "the change")
    await hand.press("u")
    await hand.seen(f"Take the change of {AGING} back? It is 20 now.")
    assert parses(hand.twin) == "settings reset"
    await hand.press("enter")  # Cancel is the default
    await hand.gone("Take the change")
    assert (await told(hand, AGING))["value"] == 20.0
    await hand.press("u")
    await hand.seen("Take the change")
    await hand.press("right", "enter")
    await hand.hears(f"The change of {AGING} is taken back.")
    await hand.until(lambda: listing.table.row is not None and listing.table.row.origin == "default", "the default")
    assert listing.check_action("act", ("settings_reset_u",)) is None


async def test_what_cannot_be_changed_says_why(hand: Hand) -> None:
    listing = await opened(hand, "server.port")
    await hand.seen("Read-only: server.port cannot be changed while the daemon runs.")
    assert listing.check_action("act", ("settings_set_e",)) is None
    await hand.press("enter")
    await hand.seen("why not")
    assert parses(hand.twin) == "settings show"


async def test_being_locked_out_is_a_warning(hand: Hand) -> None:
    await hand.site.made("whitelist", cidr="127.0.0.1/32", label="here")
    await choosing(hand, "auth.whitelist")
    await hand.press("enter", "up", "enter", "ctrl+s")
    await hand.seen("Do it all the same")
    await hand.says_twin("llmgate settings set auth.whitelist off --force")
    assert parses(hand.twin) == "settings set"
    await hand.press("right", "enter")
    await hand.hears("auth.whitelist is no now")
    assert (await told(hand, "auth.whitelist"))["value"] is False


async def test_they_are_filtered_here_and_it_is_said(hand: Hand) -> None:
    listing = await opened(hand, AGING)
    await hand.press("slash")
    await hand.write("aging changeable:yes")
    await hand.until(lambda: [row.key for row in listing.table.rows] == [AGING], "one row")
    await hand.seen("filtered here")


@pytest.fixture
async def of_file(tmp_path: Path) -> AsyncIterator[tuple[Site, Path]]:
    file = tmp_path / "llmgate.toml"
    file.write_text("[queue]\naging_seconds = 40\n")
    file.chmod(0o600)
    async with run_site(tmp_path / "state", loaded=load(file)) as running:
        yield running, file


async def test_the_file_is_read_again_and_what_changed_is_told(of_file: tuple[Site, Path], home: Path) -> None:
    site, file = of_file
    async with dashboard(site, home) as hand:
        listing = await opened(hand, AGING)
        assert listing.table.row is not None
        assert listing.table.row.origin == "file"
        file.write_text("[queue]\naging_seconds = 15\n[log]\nformat = 'json'\n")
        await hand.press("L")
        await hand.seen("read its configuration file")
        assert parses(hand.twin) == "config reload"
        await hand.press("right", "enter")
        await hand.seen("40 → 15")
        await hand.seen("needs a restart")
        await hand.press("escape")
        await hand.until(lambda: listing.table.row is not None and listing.table.row.value == 15.0, "the new value")
        file.write_text("[queue]\naging_seconds = 'never'\n")
        await hand.press("L")
        await hand.seen("read its configuration file")
        await hand.press("right", "enter")
        await hand.hears("aging_seconds")
        assert (await told(hand, AGING))["value"] == 15.0


async def test_a_read_only_dashboard_changes_nothing(site: Site, home: Path) -> None:
    async with dashboard(site, home, read_only=True) as hand:
        listing = await opened(hand, AGING)
        for name in ("settings_set_e", "settings_reset_u", "config_reload_L"):
            assert not listing.check_action("act", (name,))


def setting(accepts: dict[str, Any], value: Any, **more: Any) -> schemas.Setting:
    return schemas.Setting.model_validate(
        {
            "key": "server.example",
            "value": value,
            "default": value,
            "origin": "default",
            "mutable": True,
            "description": "An example.",
            "accepts": accepts,
            **more,
        }
    )


def test_each_kind_of_setting_has_its_kind_of_field() -> None:
    words = field_of(setting({"type": "array", "items": {"type": "string"}}, ["a", "b"]))
    assert (words.was, words.read("x, y")) == ("a,b", ["x", "y"])
    text = field_of(setting({"type": "string"}, None))
    assert (text.was, text.read("any thing")) == ("", "any thing")
    assert field_of(setting({"type": "boolean"}, True)).kind is Kind.SWITCH
    choice = field_of(setting({"type": "string", "enum": ["a", "b"]}, "b"))
    assert (choice.kind, choice.choices, choice.was) == (Kind.CHOICE, ("a", "b"), "b")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e9", "-1", "x", ""])
def test_numbers_outside_of_their_bounds_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="takes a number above 0 to 10"):
        typed({"type": "number", "exclusiveMinimum": 0, "maximum": 10}, text)


def test_filters_go_together() -> None:
    rows = [
        setting({"type": "integer"}, 1, key="server.port"),
        setting({"type": "integer"}, 1, key="queue.window", origin="file"),
        setting({"type": "integer"}, 1, key="queue.max", mutable=False),
    ]
    assert [row.key for row in chosen(rows, search="QUEUE example")] == ["queue.window", "queue.max"]
    assert [row.key for row in chosen(rows, origin="file")] == ["queue.window"]
    assert [row.key for row in chosen(rows, search="queue", changeable=False)] == ["queue.max"]


def test_a_reload_that_changed_nothing_says_so() -> None:
    nothing = schemas.ConfigReload(path="/etc/llmgate.toml", changed=[], needs_restart=[], reloadable=True)
    assert dict(reloaded(nothing))["changed"] == "nothing"
    assert "without a configuration" in str(reloaded(nothing.model_copy(update={"reloadable": False, "path": None})))
    later = reloaded(nothing.model_copy(update={"needs_restart": ["log.format"]}))
    assert later[-1] == ("log.format", "needs a restart")
