"""``python -m tests.trust --seed 7 --minutes 42``: a run, or the checker on the journals of an earlier one."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.trust.checker import Verdict, check
from tests.trust.document import write
from tests.trust.journal import read
from tests.trust.run import Options, fresh, run
from tests.trust.schedule import ALONE, LEAST, LONG_ROUNDS, ROUND, SHORT

ROUND_SECONDS = 84.0
"""A little more than a round takes, on two cores that have nothing else to do."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trust", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="default: any; it is printed")
    parser.add_argument(
        "--minutes", type=float, default=42.0, help="how long the faults may go on; decides how many rounds there are"
    )
    parser.add_argument("--short", action="store_true", help="one small round, as in `make test`")
    parser.add_argument("--alone", action="store_true", help="one daemon with SQLite and the queue in memory")
    parser.add_argument("--folder", type=Path, help="where the journals go; it is emptied first")
    parser.add_argument("--check", type=Path, help="only check the journals in this folder")
    arguments = parser.parse_args()
    if arguments.check:
        return _tell(check(read(arguments.check)), arguments.check)
    for number in (signal.SIGINT, signal.SIGTERM):  # also where the shell has them ignored: the servers must be stopped
        signal.signal(number, signal.default_int_handler)
    folder = fresh(arguments.folder or Path(tempfile.mkdtemp(prefix="llmgate-trust-")))
    _say(f"seed {arguments.seed}, journals in {folder}")
    began = time.monotonic()
    options = _options(arguments, folder.resolve())
    verdict, _ = asyncio.run(run(options))
    seconds = time.monotonic() - began
    _say(f"seed {arguments.seed}, {seconds:.0f} s")
    is_full = options.rounds >= LONG_ROUNDS and not options.alone
    wrong, few = _tell(verdict, folder), _missing(verdict, LEAST if is_full else {})
    if is_full and not few:
        write(verdict, arguments.seed, seconds)
    return wrong or few


def _options(arguments: argparse.Namespace, folder: Path) -> Options:
    rounds = 1 if arguments.short else max(1, round(arguments.minutes * 60 / ROUND_SECONDS))
    counts = SHORT if arguments.short else ROUND
    return Options(
        seed=arguments.seed,
        rounds=rounds,
        folder=folder,
        seconds=arguments.minutes * 60,
        counts=ALONE if arguments.alone else counts,
        daemons=1 if arguments.alone else 3,
        alone=arguments.alone,
        cables=not arguments.alone and not arguments.short,
        idle=arguments.short,
        say=_say,
    )


def _tell(verdict: Verdict, folder: Path) -> int:
    text = verdict.text()
    (folder / "verdict.txt").write_text(text + "\n", encoding="utf-8")
    _say(text)
    return 0 if verdict.is_clean else 1


def _missing(verdict: Verdict, least: Mapping[str, int]) -> int:
    """1 when too little was done to prove anything."""
    few = {kind: verdict.faults[kind] for kind, count in least.items() if verdict.faults[kind] < count}
    if few:
        _say(f"too few: {few}")
    return int(bool(few))


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
