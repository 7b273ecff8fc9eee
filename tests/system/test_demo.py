"""`llmgate serve --demo` with the real model, and stock clients that know nothing of llmgate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import ollama
import openai
import pytest

from tests.gateway.ready_made import client_of
from tests.system.processes import demo_facts, run, serving

pytestmark = pytest.mark.slow


async def test_stock_clients_stream_real_answers_and_usage_counts_what_the_model_reported(tmp_path: Path) -> None:
    async with serving("--demo", "-o", "json", "--port", "0", home=tmp_path) as daemon:
        facts = await demo_facts(daemon)
        assert facts.keys() == {"url", "api_key", "admin_user", "admin_password", "registration_token", "model"}
        reported = [await ask_as_openai(facts), await ask_as_ollama(facts)]
        code, out, err = await run(
            "login", "--url", facts["url"], "--name", facts["admin_user"], "--password-stdin",
            home=tmp_path, stdin=facts["admin_password"] + "\n",
        )  # fmt: skip
        assert code == 0, err
        code, out, err = await run("usage", "--by", "model", "-o", "json", home=tmp_path)
        assert code == 0, err
        rows = json.loads(out)
        assert [row["requests"] for row in rows] == [2]
        assert rows[0]["input_tokens"] == sum(usage[0] for usage in reported)
        assert rows[0]["output_tokens"] == sum(usage[1] for usage in reported)
        await log_in_as_browser(facts)


async def log_in_as_browser(facts: Mapping[str, str]) -> None:
    """Who opens the URL that is printed gets in, over http as it is."""
    body = {"name": facts["admin_user"], "password": facts["admin_password"], "cookie": True}
    async with client_of(facts["url"]) as browser:
        assert (await browser.get("/gate/about")).json()["cookies"] is True
        answer = await browser.post("/gate/auth/login", json=body, headers={"origin": facts["url"]})
        assert answer.status_code == 200, answer.text
        (model,) = (await browser.get("/gate/models")).json()["data"]
        assert (model["name"], model["context_length"]) == (facts["model"], 4096)


async def ask_as_openai(facts: dict[str, str] | object) -> tuple[int, int]:
    assert isinstance(facts, dict)
    messages = [{"role": "user", "content": "Say hello."}]
    async with openai.AsyncOpenAI(base_url=f"{facts['url']}/v1", api_key=facts["api_key"]) as client:
        stream = await client.chat.completions.create(
            model=facts["model"], messages=messages, stream=True, max_tokens=24, stream_options={"include_usage": True}
        )  # type: ignore[call-overload]
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert len(text) > 3
    assert len(chunks) > 5
    usage = chunks[-1].usage
    assert usage is not None
    return usage.prompt_tokens, usage.completion_tokens


async def ask_as_ollama(facts: dict[str, str] | object) -> tuple[int, int]:
    assert isinstance(facts, dict)
    client = ollama.AsyncClient(host=facts["url"], headers={"Authorization": f"Bearer {facts['api_key']}"})
    listed = await client.list()
    assert facts["model"] in {model.model for model in listed.models}
    messages = [{"role": "user", "content": "Say hello."}]
    parts = [
        part async for part in await client.chat(facts["model"], messages, stream=True, options={"num_predict": 24})
    ]
    assert len("".join(part.message.content or "" for part in parts)) > 3
    assert parts[-1].done
    assert parts[-1].total_duration
    await client._client.aclose()
    return parts[-1].prompt_eval_count or 0, parts[-1].eval_count or 0
