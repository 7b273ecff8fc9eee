"""What the demo says: before the watch, and at the end."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from deploy.cluster_demo.load import CROWDS, Crowd, Load
from deploy.cluster_demo.stage import ADMIN, BROKER_PAUSE, DAEMON_PAUSE, Stage


def tell(text: str) -> None:
    """To the user, who may have closed the terminal. Standard output belongs to the watch."""
    with suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def introduction(running: Stage) -> str:
    """Fits into 80 columns and 24 lines."""
    program = _command()
    crowds = "\n".join(_credential(running, crowd) for crowd in CROWDS)
    pids = ", ".join(str(daemon.pid) for daemon in running.daemons)
    return f"""
{len(running.daemons)} daemons share one waiting line, behind nginx: {running.url}
Log in there as {ADMIN} with the password {running.password}

who          level  key
{crowds}

In another terminal (a daemon comes back after {DAEMON_PAUSE:.0f} s, the broker after {BROKER_PAUSE:.0f} s):

  kill -9 PID         a daemon ({pids}): the others go on
  kill -9 {running.broker.pid:<11} the broker: each daemon decides alone meanwhile
  tail -f {running.logs}/*.log
  export LLMGATE_CONFIG_DIR={running.environment["LLMGATE_CONFIG_DIR"]}
  {program} queue status
  {program} chat {running.model.name} "Say hello."

This again: cat {running.folder}/README
"""


def facts(running: Stage) -> dict[str, Any]:
    """The same for programs."""
    return {
        "url": running.url,
        "model": running.model.name,
        "directory": str(running.folder),
        "ports": [*running.ports, running.broker.port],
        "keys": running.keys,
        "daemons": {daemon.name: daemon.pid for daemon in running.daemons},
        "nginx": running.nginx.pid,
        "broker": running.broker.pid,
    }


def outcome(running: Stage, load: Load) -> dict[str, Any]:
    """What the clients got, and which daemons served them as nginx saw it."""
    names = {f"127.0.0.1:{port}": f"daemon {number}" for number, port in enumerate(running.ports[1:], 1)}
    served = dict.fromkeys(names.values(), 0)
    counted = Counter(names[address] for address in _answered_by(running.logs / "nginx.log") if address in names)
    return {
        "clients": {name: tally.document() for name, tally in load.tallies.items()},
        "served": {**served, **counted},
    }


def report(result: Mapping[str, Any]) -> str:
    lines = [f"{'who':<12} {'level':>5} {'answered':>9} {'hung up':>8} {'failed':>7} {'first words after':>18}"]
    for crowd in CROWDS:
        told = result["clients"][crowd.name]
        first = "-" if told["first_p50"] is None else f"{told['first_p50']:.1f} s"
        counts = f"{told['answered']:>9} {told['left']:>8} {told['failed']:>7}"
        lines.append(f"{crowd.name:<12} {crowd.level:>5} {counts} {first:>18}")
    served = ", ".join(f"{name} {count}" for name, count in result["served"].items())
    return "\n".join([*lines, "", f"Served by way of nginx: {served}."])


def print_json(document: Mapping[str, Any]) -> None:
    """A line among those of the watch, for who reads them. Nobody may read any more."""
    try:
        sys.stdout.write(f"{json.dumps(document)}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _credential(running: Stage, crowd: Crowd) -> str:
    key = running.keys.get(crowd.name) or f"none: {crowd.address} is on the whitelist"
    return f"{crowd.name:<12} {crowd.level:>5}  {key}"


def _command() -> str:
    program = Path(sys.executable).with_name("llmgate")
    if not program.exists():
        return f"{sys.executable} -m llmgate"
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)


def _answered_by(log: Path) -> Iterator[str]:
    """The daemon of each answer of the model."""
    for line in log.read_text(encoding="utf-8").splitlines():
        with suppress(ValueError):  # the last line of an nginx that was killed
            seen = json.loads(line)
            if seen["path"].startswith("/v1/") and seen["status"] == 200:
                yield seen["daemon"]
