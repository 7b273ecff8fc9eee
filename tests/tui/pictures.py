"""Pictures of the dashboard: ``python -m tests.tui.pictures docs/tui`` draws those of the documentation,
``python -m tests.tui.pictures --renew tests/tui/snapshots`` those that the tests compare.

The figures are made up (``tests.tui.world``), the program that shows them is the real one.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Input

from llmgate.contexts.stored import Store
from llmgate.contexts.target import Target
from llmgate.tui.app import Dashboard, Launch
from tests.tui import world

Way = Callable[[Pilot[None]], Awaitable[None]]
HISTORY = 240
"""Seconds of figures that the dashboard has already seen."""
PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What is done before the picture is taken: these keys, one after the other, once the screen stands still."""

    keys: tuple[str, ...]


SCENES: Mapping[str, Scene] = {
    "dashboard": Scene(("1",)),
    "queue": Scene(("2",)),
    "users": Scene(("3",)),
    "tokens": Scene(("4",)),
    "keys": Scene(("5", "down")),
    "whitelist": Scene(("6",)),
    "upstreams": Scene(("7",)),
    "usage": Scene(("8",)),
    "activity": Scene(("9",)),
    "system": Scene(("0",)),
    "settings": Scene(("comma",)),
    "key-form": Scene(("5", "n")),
    "key-details": Scene(("5", "enter")),
    "question": Scene(("5", "d")),
    "help": Scene(("2", "question_mark")),
    "filter": Scene(("5", "slash")),
}
THEMES = ("llmgate-dark", "llmgate-light")
SIZES = ((80, 24), (120, 40))
FOR_DOCS = (120, 34)


async def picture(scene: Scene, size: tuple[int, int], theme: str) -> str:
    """The screen as SVG."""
    with tempfile.TemporaryDirectory() as home:
        target = Target(world.URL, "office", "a picture")
        launch = Launch(
            Store(Path(home)), target, theme=theme, refresh=0.05, clock=lambda: 1000.0, wall=lambda: world.NOW
        )
        app = Dashboard(launch, world.client)
        for second in range(HISTORY):
            app.picture.fold(world.stats(second))
        app.picture.note(world.events(), 0)
        async with app.run_test(size=size) as pilot:
            for key in scene.keys:
                await pilot.press(key)
                await still(pilot)
            for field in app.screen.query(Input):
                field.cursor_blink = False
            await still(pilot)
            return plain(app.export_screenshot(title="llmgate"))


async def still(pilot: Pilot[None]) -> None:
    """Wait until nothing is worked at any more, and the screen stays as it is."""
    app = pilot.app
    before = ""
    async with asyncio.timeout(PATIENCE):
        while True:
            await pilot.pause(0.05)
            busy = [worker for worker in app.workers if not worker.is_finished and worker.group not in FOREVER]
            now = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
            if now == before and not busy:
                return
            before = now


FOREVER = frozenset({"feed", "act", "login", "show"})
"""Workers that wait for the daemon's events, or for somebody's answer."""


def plain(svg: str) -> str:
    """The picture without what differs from run to run, and without fonts from elsewhere."""
    svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "monospace").replace("font-family: Fira Code", "font-family: monospace")
    unique = sorted(set(re.findall(r"terminal-\d+", svg)))
    for number, name in enumerate(unique):
        svg = svg.replace(name, f"terminal-{number}")
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


def drawn(scene: Scene, size: tuple[int, int], theme: str) -> str:
    """``picture`` for who has no event loop."""
    return asyncio.run(picture(scene, size, theme))


def _draw(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    wanted = [(name, name, THEMES[0]) for name in SCENES] + [("dashboard-light", "dashboard", THEMES[1])]
    for file, name, theme in wanted:
        path = directory / f"{file}.svg"
        path.write_text(drawn(SCENES[name], FOR_DOCS, theme), encoding="utf-8")
        sys.stdout.write(f"{path}\n")


def _renew(directory: Path) -> None:
    """Keep what is drawn now as what has to be drawn from now on."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.svg"):
        old.unlink()
    for name, size, theme in kept():
        path = directory / kept_as(name, size, theme)
        path.write_text(drawn(SCENES[name], size, theme), encoding="utf-8")


def kept() -> list[tuple[str, tuple[int, int], str]]:
    """Scene, size and theme of every picture that is kept and compared."""
    return [(name, size, theme) for name in SCENES for size in SIZES for theme in THEMES]


def kept_as(name: str, size: tuple[int, int], theme: str) -> str:
    """The name of its file."""
    return f"{name}-{size[0]}x{size[1]}-{theme.removeprefix('llmgate-')}.svg"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--renew"]:
        _renew(Path(sys.argv[2]))
    else:
        _draw(Path(sys.argv[1]))
