"""deploy/llmgate.service: systemd takes it, it is as closed as the document says, and its numbers fit the daemon's.
And what belongs to it: the nightly backup, and llmgate-host."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from llmgate.cli.serve import END_SECONDS
from llmgate.config import QueueSettings, ServerSettings
from llmgate.daemon.server import QUIET_LOOKS, QUIET_SECONDS
from llmgate.daemon.workers import SPARE_SECONDS
from llmgate.errors import AddressInUse, ConfigError, InputNeeded, StartupError, StoreUnavailable

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "llmgate.service"
BACKUP = ROOT / "deploy" / "llmgate-backup.service"
TIMER = ROOT / "deploy" / "llmgate-backup.timer"
HOST = ROOT / "deploy" / "llmgate-host"
PROGRAM = "/opt/llmgate/bin/llmgate"
MOST_EXPOSED = 1.5
"""Of 10; an ordinary unit has 9.6."""
GRACEFUL_SECONDS = 5
"""What the daemon gives uvicorn to close its connections."""
END_AT_MOST = QUIET_LOOKS * QUIET_SECONDS + GRACEFUL_SECONDS + END_SECONDS
"""What a daemon may take to end beyond its drain."""
SAID = 40
"""So many seconds more than drain_seconds the documents tell to wait."""


def settings(unit: Path = UNIT) -> dict[str, list[str]]:
    """Every line of the unit by its name."""
    found: dict[str, list[str]] = {}
    text = unit.read_text(encoding="utf-8").replace("\\\n", " ")
    for name, value in re.findall(r"^([A-Za-z]+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)


def stand_in(place: Path) -> Path:
    """A program that tells what it was called with, a line for each argument."""
    place.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n", encoding="utf-8")
    place.chmod(0o755)
    return place


@pytest.mark.parametrize("unit", [UNIT, BACKUP, TIMER], ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path, unit: Path) -> None:
    for one in (UNIT, BACKUP, TIMER):
        text = one.read_text(encoding="utf-8")
        assert (PROGRAM in text) == (one != TIMER)
        (tmp_path / one.name).write_text(text.replace(PROGRAM, sys.executable), encoding="utf-8")
    done = analyze("verify", "--man=no", str(tmp_path / unit.name))
    said = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]
    assert (done.returncode, said) == (0, [])


def test_it_is_as_closed_as_the_document_says(tmp_path: Path) -> None:
    done = analyze("security", "--offline=yes", "--no-pager", f"--threshold={MOST_EXPOSED * 10:.0f}", str(UNIT))
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.search(r"Overall exposure level for llmgate.service: ([\d.]+)", done.stdout)
    assert told is not None
    assert f"exposure level of {told[1]}" in (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")


def test_there_is_time_for_the_drain() -> None:
    (seconds,) = settings()["TimeoutStopSec"]
    assert SPARE_SECONDS < END_AT_MOST < SAID
    assert int(seconds) >= ServerSettings().drain_seconds + SAID
    assert f"at least {SAID} s more" in UNIT.read_text(encoding="utf-8")
    assert settings()["KillSignal"] == ["SIGTERM"]
    assert settings()["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_it_is_not_started_again_when_that_does_not_help() -> None:
    (codes,) = settings()["RestartPreventExitStatus"]
    assert set(map(int, codes.split())) == {ConfigError.exit_code, AddressInUse.exit_code, InputNeeded.exit_code}
    # These may pass by themselves: the database starts at the same time.
    assert not {StartupError.exit_code, StoreUnavailable.exit_code} & set(map(int, codes.split()))
    assert settings()["Restart"] == ["on-failure"]


def test_a_database_that_is_away_at_boot_is_waited_for_for_ever() -> None:
    """A limit of starts would be used up in seconds, and the service stay down although the database is back."""
    assert settings()["StartLimitIntervalSec"] == ["0"]
    assert "StartLimitBurst" not in settings()
    assert settings()["RestartSec"] == ["5"]


def test_there_is_memory_for_what_may_wait_and_none_for_core_dumps() -> None:
    (most,) = settings()["MemoryMax"]
    assert most == "2G"
    assert QueueSettings().max_waiting_bytes <= 1024**3
    assert settings()["LimitCORE"] == ["0"]
    assert int(settings()["LimitNOFILE"][0]) > 2 * QueueSettings().max_waiting


def test_it_runs_as_nobody_of_importance() -> None:
    found = settings()
    assert found["User"] == ["llmgate"]
    assert found["NoNewPrivileges"] == ["yes"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["StateDirectoryMode"] == ["0700"]
    # A password on the command line could be read by everybody on the machine.
    assert "PASS" not in " ".join(found["ExecStart"] + found["Environment"]).upper()


def test_the_backup_is_made_of_what_the_service_serves(tmp_path: Path) -> None:
    service, backup = settings(), settings(BACKUP)
    for name in ("User", "Group", "EnvironmentFile", "Environment"):
        assert backup[name] == service[name]
    assert backup["Type"] == ["oneshot"]
    # Carried out, as systemd would, but with another program.
    (line,) = backup["ExecStart"]
    plain = line.replace("$$", "$").replace("%%", "%").replace(PROGRAM, str(stand_in(tmp_path / "llmgate")))
    said = subprocess.run(shlex.split(plain), capture_output=True, text=True, check=True).stdout.split()
    assert said[0] == "backup"
    assert said[1] in {f"/var/backups/llmgate/{day}.backup" for day in range(1, 8)}
    assert said[2:] == [
        "--force", "--config", "/etc/llmgate/llmgate.toml", "--passphrase-file", "/etc/llmgate/backup.pass",
    ]  # fmt: skip
    written = backup["ReadWritePaths"][0].split()
    assert [str(Path(said[1]).parent), "/var/lib/llmgate"] == sorted(written)


def test_llmgate_host_has_what_the_service_has(tmp_path: Path) -> None:
    stand_in(tmp_path / "systemd-run")
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    wanted = ["backup", "/var/backups/llmgate/one of these.backup", "--force"]
    said = subprocess.run([HOST, *wanted], env=environment, capture_output=True, text=True, check=True).stdout
    before, _, after = said.partition(f"\n{PROGRAM}\n")
    assert after.splitlines() == wanted
    options = before.splitlines()
    given = [value for name, value in itertools.pairwise(options) if name in ("-p", "-E")]
    service = settings()
    for name in ("User", "UMask", "EnvironmentFile"):
        assert f"{name}={service[name][0]}" in given
    assert {one for one in given if one.startswith("LLMGATE_")} <= set(service["Environment"][0].split())
    assert f"WorkingDirectory={Path(service['ExecStart'][0].split()[-1]).parent}" in given
    assert {"--pty", "--pipe", "--wait"} <= set(options)
