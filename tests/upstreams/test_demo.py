"""The real model: a child process that dies with its parent."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator

import pytest

from llmgate.config import UpstreamSettings
from llmgate.daemon.upstreams.demo import MODEL, DemoModel
from llmgate.daemon.upstreams.openai import OpenAIUpstream
from llmgate.errors import StartupError
from tests.upstreams.support import call


@pytest.fixture
async def demo() -> AsyncIterator[UpstreamSettings]:
    model = DemoModel()
    yield await model.start()
    await model.stop()


@pytest.mark.slow
async def test_the_demo_model_chats_and_embeds(demo: UpstreamSettings) -> None:
    upstream = OpenAIUpstream(demo, timeout=5.0)
    told = await upstream.inspect()
    assert [model.name for model in told.models] == [MODEL]
    question = [{"role": "user", "content": "What is the capital of France?"}]
    asked = call("/api/chat", model=MODEL, stream=True, messages=question, options={"temperature": 0, "seed": 1})
    answer = await upstream.send(asked)
    reader = upstream.reader(asked)
    shown = b"".join([reader.feed(chunk) async for chunk in answer.chunks()]) + reader.finish()
    await answer.close()
    assert reader.complete
    text = "".join(json.loads(line)["message"]["content"] for line in shown.splitlines())
    assert "Paris" in text
    assert reader.usage.output_tokens
    asked = call("/api/embed", model=MODEL, input="Hello")
    answer = await upstream.send(asked)
    assert b'"embeddings":[[' in upstream.whole(asked, await answer.read(1_000_000))[0]
    await answer.close()
    await upstream.close()


@pytest.mark.slow
async def test_the_demo_model_dies_with_its_parent() -> None:
    script = (
        "import asyncio\n"
        "from llmgate.daemon.upstreams.demo import DemoModel\n"
        "async def main():\n"
        "    print((await DemoModel().start()).url, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    url = (await asyncio.wait_for(parent.stdout.readline(), 60)).decode().strip()
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    parent.kill()
    await parent.wait()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await writer.wait_closed()


async def test_a_missing_model_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StartupError) as caught:
        await DemoModel().start()
    assert caught.value.hint == 'Install it with: pip install "llmgate-server[demo]"'


async def test_stopping_what_was_never_started_is_harmless() -> None:
    await DemoModel().stop()
