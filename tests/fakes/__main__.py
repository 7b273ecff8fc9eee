"""A fake as a process of its own: ``python -m tests.fakes ollama`` prints ``{"url": …}`` and serves until
its standard input closes."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from tests.fakes import FakeOllama, FakeOpenAI, FakeServer, Script

KINDS: dict[str, type[FakeServer]] = {"ollama": FakeOllama, "openai": FakeOpenAI}


async def serve(kind: type[FakeServer], port: int, script: Script) -> None:
    async with kind(port=port) as fake:
        fake.default = script
        sys.stdout.write(json.dumps({"url": fake.url}) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a fake upstream.")
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=4, help="tokens of every answer")
    parser.add_argument("--interval", type=float, default=0.0, help="seconds between tokens")
    arguments = parser.parse_args()
    script = Script(tokens=["word "] * arguments.tokens, interval=arguments.interval)
    asyncio.run(serve(KINDS[arguments.kind], arguments.port, script))


if __name__ == "__main__":
    main()
