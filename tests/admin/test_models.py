"""Models over the admin API, and over Ollama's own routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import ollama as ollama_client
import pytest

from llmgate.daemon import management
from llmgate.daemon.events import ActivityRecorded
from llmgate.daemon.protocols.bodies import MAX_MODEL_NAME
from llmgate.daemon.upstreams import pulling
from llmgate.daemon.upstreams.pulling import PullEvent
from tests.admin.harness import Site, problem
from tests.fakes import FakeOllama, FakeOpenAI, Script
from tests.gateway.harness import lines_of

MODELS = "/admin/v1/models"


@pytest.fixture
async def other(site: Site) -> AsyncIterator[FakeOllama]:
    """A second Ollama, in a pool named main."""
    async with FakeOllama(models=("llama3.2:latest", "only-here:1b")) as server:
        await site.made("upstreams", name="gpu2", url=server.url, pool="main")
        yield server


def noted(site: Site, action: str) -> list[dict[str, Any]]:
    entries = [entry for entry in site.gateway.events if isinstance(entry, ActivityRecorded)]
    return [json.loads(entry.detail) | {"who": entry.actor_name} for entry in entries if entry.action == action]


async def pulled(site: Site, **body: Any) -> list[dict[str, Any]]:
    answer = await site.admin.post(f"{MODELS}/pull", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return lines_of(answer.text)


async def test_models_are_listed_over_all_pools(site: Site, other: FakeOllama) -> None:
    rows = (await site.admin.get(MODELS)).json()["data"]
    assert [row["name"] for row in rows] == ["llama3.2:latest", "only-here:1b"]
    assert rows[0]["pools"] == ["fake", "main"]
    assert rows[0]["upstreams"] == rows[0]["loaded"] == ["fake", "gpu2"]
    assert (rows[0]["size"], rows[0]["family"], rows[0]["parameters"]) == (2019393189, "llama", "3.2B")
    assert (rows[0]["quantization"], rows[0]["served"]) == ("Q4_K_M", True)
    found = (await site.admin.get(MODELS, params={"search": "ONLY"})).json()["data"]
    assert [row["name"] for row in found] == ["only-here:1b"]
    first = (await site.admin.get(MODELS, params={"limit": 1})).json()
    second = (await site.admin.get(MODELS, params={"limit": 1, "after": first["next"]})).json()
    assert [row["name"] for row in first["data"] + second["data"]] == ["llama3.2:latest", "only-here:1b"]
    assert second["next"] is None
    problem(await site.admin.get(MODELS, params={"after": "???"}), 400, "invalid_request")


async def test_the_list_goes_on_behind_the_longest_name_that_a_model_can_have(site: Site, other: FakeOllama) -> None:
    other.models.append("日" * (MAX_MODEL_NAME - 3) + ":1b")
    await site.gateway.services.upstreams.refresh(["gpu2"])
    other.models.append("龍:1b")
    await site.gateway.services.upstreams.refresh(["gpu2"])
    first = (await site.admin.get(MODELS, params={"limit": 3})).json()
    second = await site.admin.get(MODELS, params={"limit": 3, "after": first["next"]})
    assert [row["name"] for row in second.json()["data"]] == ["龍:1b"], second.text


async def test_what_only_some_upstreams_of_a_pool_have_is_listed_as_not_served(site: Site, other: FakeOllama) -> None:
    async with FakeOllama() as third:
        await site.made("upstreams", name="gpu3", url=third.url, pool="main")
        row = (await site.admin.get(f"{MODELS}/only-here:1b")).json()
        assert (row["served"], row["pools"], row["partial_pools"], row["upstreams"]) == (False, [], ["main"], ["gpu2"])
        assert row["details"]["capabilities"] == ["completion", "tools"]


async def test_a_model_is_shown_by_any_of_its_names(site: Site, other: FakeOllama) -> None:
    other.models.append("hf.co/someone/model:Q4")
    await site.gateway.services.upstreams.refresh(["gpu2"])
    for name in ("llama3.2", "LLaMA3.2", "hf.co/someone/model:Q4", "hf.co%2Fsomeone%2Fmodel:Q4"):
        assert (await site.admin.get(f"{MODELS}/{name}")).status_code == 200, name
    problem(await site.admin.get(f"{MODELS}/nothing"), 404, "model_not_found")
    problem(await site.admin.get(f"{MODELS}/{'x' * 600}"), 400, "invalid_request")


async def test_loaded_models_are_listed_by_upstream(site: Site, other: FakeOllama) -> None:
    other.loaded = ["only-here:1b"]
    await site.gateway.services.upstreams.refresh(["gpu2"])
    rows = (await site.admin.get(f"{MODELS}/loaded")).json()["data"]
    assert [(row["upstream"], row["name"]) for row in rows] == [("fake", "llama3.2:latest"), ("gpu2", "only-here:1b")]
    assert (rows[0]["size_vram"], rows[0]["context_length"]) == (2019393189, 4096)


async def test_a_pull_onto_every_upstream_of_a_pool_tells_its_progress(site: Site, other: FakeOllama) -> None:
    async with FakeOllama() as third:
        await site.made("upstreams", name="gpu3", url=third.url, pool="main")
        events = await pulled(site, model="new:1b", pool="main")
        assert {event["upstream"] for event in events} == {"gpu2", "gpu3"}
        of_one = [event for event in events if event["upstream"] == "gpu2"]
        assert [event["status"] for event in of_one][:2] == ["pulling manifest", "pulling dde5aa3fc5ff"]
        assert [event["completed"] for event in of_one if "completed" in event] == [1000, 2000, 3000, 4000]
        assert of_one[-1] == {"upstream": "gpu2", "status": "success", "done": True}
        assert "new:1b" in other.models
        assert "new:1b" in third.models
        served = (await site.admin.get(f"{MODELS}/new:1b")).json()
        assert (served["pools"], served["upstreams"]) == (["main"], ["gpu2", "gpu3"])
        begun, ended = noted(site, "model.pull")
        assert (begun["state"], ended["state"], begun["who"]) == ("begun", "completed", "root")
        assert begun["upstreams"] == ["gpu2", "gpu3"]


async def test_a_pull_needs_a_place_that_is_clear(site: Site, other: FakeOllama) -> None:
    unclear = problem(await site.admin.post(f"{MODELS}/pull", json={"model": "new"}), 400, "invalid_request")
    assert unclear["detail"] == "This can be done in several pools: fake, main."
    for body in ({"pool": "none"}, {"upstream": "none"}):
        problem(await site.admin.post(f"{MODELS}/pull", json={"model": "new", **body}), 404, "not_found")
    elsewhere = {"model": "new", "upstream": "gpu2", "pool": "fake"}
    problem(await site.admin.post(f"{MODELS}/pull", json=elsewhere), 400, "invalid_request")
    problem(await site.admin.post(f"{MODELS}/pull", json={"model": ""}), 400, "invalid_request")
    assert [event["upstream"] for event in await pulled(site, model="new", upstream="gpu2")][-1] == "gpu2"
    assert site.ollama.models == ["llama3.2:latest"]


async def test_what_fails_on_one_upstream_is_told_and_the_others_go_on(site: Site, other: FakeOllama) -> None:
    async with FakeOllama() as third:
        await site.made("upstreams", name="gpu3", url=third.url, pool="main")
        third.script(Script(error_after=(2, "no space left on device")), path="/api/pull")
        events = await pulled(site, model="new:1b", pool="main")
        ends = {event["upstream"]: event for event in events if event.get("done")}
        assert "error" not in ends["gpu2"]
        assert ends["gpu3"]["error"] == "max retries exceeded"
        assert noted(site, "model.pull")[-1]["failures"] == {"gpu3": "max retries exceeded"}
    third_is_gone = await pulled(site, model="new:1b", pool="main")
    assert "cannot be reached" in next(event["error"] for event in third_is_gone if event.get("error"))


@pytest.mark.parametrize(
    ("model", "error"),
    [("no-such", "pull model manifest: file does not exist"), ("bad name", "invalid model name")],
)
async def test_a_model_that_no_registry_has_ends_with_the_reason(site: Site, model: str, error: str) -> None:
    events = await pulled(site, model=model)
    assert events[-1] == {"upstream": "fake", "status": "failed", "done": True, "error": error}


async def test_hanging_up_ends_the_pull_at_the_upstream_and_is_noted(site: Site) -> None:
    site.ollama.script(Script(token_gates={2: "never"}), path="/api/pull")
    async with site.admin.stream("POST", f"{MODELS}/pull", json={"model": "new:1b"}) as answer:
        async for line in answer.aiter_lines():
            if "completed" in line:
                break
    pull = next(seen for seen in site.ollama.reads if seen.path == "/api/pull")
    async with asyncio.timeout(5):
        await pull.disconnected.wait()
    await site.gateway.until(lambda: len(noted(site, "model.pull")) == 2)
    assert noted(site, "model.pull")[-1]["state"] == "cancelled"


@pytest.mark.parametrize("path", [f"{MODELS}/pull", "/api/pull"])
async def test_a_silent_pull_is_kept_alive(site: Site, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(pulling, "BEAT_SECONDS", 0.02)
    site.ollama.script(Script(token_gates={0: "go"}), path="/api/pull")
    events = []
    async with site.admin.stream("POST", path, json={"model": "new:1b"}) as answer:
        async for line in answer.aiter_lines():
            events.append(json.loads(line)["status"])
            if len(events) == 4:
                site.ollama.release("go")
    assert events[:4] == ["pulling manifest"] * 4
    assert events[-1] == "success"


async def test_a_daemon_that_shuts_down_does_not_wait_for_a_pull(site: Site) -> None:
    site.ollama.script(Script(token_gates={2: "never"}), path="/api/pull")
    async with site.admin.stream("POST", f"{MODELS}/pull", json={"model": "new:1b"}) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        async with asyncio.timeout(3):
            await site.gateway.services.drain()
            async for _ in lines:
                pass
    assert noted(site, "model.pull")[-1]["state"] == "cancelled"


async def test_a_pull_that_is_cancelled_twice_is_noted_all_the_same(site: Site) -> None:
    site.ollama.script(Script(token_gates={2: "never"}), path="/api/pull")
    services = site.gateway.services
    async with site.admin.stream("POST", f"{MODELS}/pull", json={"model": "new:1b"}) as answer:
        await anext(answer.aiter_lines())
        (pull,) = services.models._pulls
        async with services.changes._turn:  # writing it down takes a while
            pull.cancel()
            await next(seen for seen in site.ollama.reads if seen.path == "/api/pull").disconnected.wait()
            services.models.stop()
            await asyncio.sleep(0)
        await pull.ended()
    assert noted(site, "model.pull")[-1]["state"] == "cancelled"


async def test_a_defect_on_one_upstream_leaves_no_pull_behind_on_another(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeOllama() as second:
        await site.made("upstreams", name="gpu2", url=second.url, pool="fake")
        second.script(Script(token_gates={2: "never"}), path="/api/pull")

        async def broken(names: object) -> None:
            await second.wait_for(lambda: any(seen.path == "/api/pull" for seen in second.reads))
            raise RuntimeError("a defect")

        monkeypatch.setattr(site.gateway.services.upstreams, "refresh", broken)
        await pulled(site, model="new:1b")
        pull = next(seen for seen in second.reads if seen.path == "/api/pull")
        async with asyncio.timeout(5):
            await pull.disconnected.wait()
    assert noted(site, "model.pull")[-1]["state"] == "failed"


async def test_half_a_character_in_an_error_of_an_upstream_is_replaced(site: Site) -> None:
    site.ollama.script(Script(status=500, body=b'{"error": "no \\ud800"}'), path="/api/pull")
    assert (await pulled(site, model="new:1b"))[-1]["error"] == "no ?"


async def test_an_upstream_cannot_fill_the_memory_with_layers_and_steps() -> None:
    told = 0

    async def flood() -> AsyncIterator[PullEvent]:
        yield PullEvent("gpu", status="pulling")
        for number in range(5 * management.MOST):
            yield PullEvent("gpu", status=f"step {number}")
            yield PullEvent("gpu", status="pulling", digest=f"sha256:{number}", total=2, completed=1)
        yield PullEvent("gpu", status="success", done=True)

    async for _ in management.as_one(flood(), ["gpu"]):
        told += 1
    assert management.MOST < told <= 2 * management.MOST


async def test_an_upstream_that_cuts_the_pull_is_told(site: Site) -> None:
    site.ollama.script(Script(cut_after=60), path="/api/pull")
    events = await pulled(site, model="new:1b")
    assert events[-1]["done"] is True
    assert "closed the connection" in events[-1]["error"]


async def test_only_so_many_pulls_run_at_once(site: Site) -> None:
    site.ollama.script(Script(gate="go"), path="/api/pull", times=8)
    pulls = [asyncio.create_task(pulled(site, model=f"new:{number}b")) for number in range(8)]
    await site.ollama.wait_for(lambda: sum(seen.path == "/api/pull" for seen in site.ollama.reads) == 8)
    busy = await site.admin.post(f"{MODELS}/pull", json={"model": "one-more"})
    problem(busy, 503, "queue_full")
    assert busy.headers["retry-after"] == "30"
    site.ollama.release("go")
    assert all("error" not in events[-1] for events in await asyncio.gather(*pulls))


async def test_a_model_is_copied_and_deleted_and_served_accordingly_at_once(site: Site) -> None:
    copied = await site.admin.post(f"{MODELS}/copy", json={"source": "llama3.2", "destination": "mine:1"})
    assert copied.json() == {"model": "mine:1", "pool": "fake", "upstreams": ["fake"]}
    tags = (await site.user.get("/api/tags")).json()["models"]
    assert [entry["name"] for entry in tags] == ["llama3.2:latest", "mine:1"]
    assert (await site.admin.delete(f"{MODELS}/mine:1")).json()["upstreams"] == ["fake"]
    problem(await site.admin.delete(f"{MODELS}/mine:1"), 404, "model_not_found")
    assert [entry["state"] for entry in noted(site, "model.copy")] == ["begun", "completed"]
    assert [entry["state"] for entry in noted(site, "model.delete")] == ["begun", "completed"]


async def test_a_model_of_several_pools_is_deleted_from_the_one_that_is_named(site: Site, other: FakeOllama) -> None:
    problem(await site.admin.delete(f"{MODELS}/llama3.2"), 400, "invalid_request")
    problem(await site.admin.delete(f"{MODELS}/llama3.2", params={"pool": "none"}), 404, "not_found")
    problem(await site.admin.delete(f"{MODELS}/only-here:1b", params={"pool": "fake"}), 404, "model_not_found")
    assert (await site.admin.delete(f"{MODELS}/llama3.2", params={"pool": "main"})).json()["upstreams"] == ["gpu2"]
    assert (site.ollama.models, other.models) == (["llama3.2:latest"], ["only-here:1b"])


async def test_a_change_that_fails_is_told_and_noted(site: Site) -> None:
    for status, code in ((500, "upstream_failed"), (400, "invalid_request"), (429, "upstream_refused")):
        site.ollama.script(Script(status=status), path="/api/delete")
        answer = await site.admin.delete(f"{MODELS}/llama3.2")
        assert answer.json()["code"] == code
    assert [entry["state"] for entry in noted(site, "model.delete")].count("failed") == 3
    site.ollama.models.clear()  # behind our back
    problem(await site.admin.delete(f"{MODELS}/llama3.2"), 404, "model_not_found")


async def test_other_kinds_of_upstreams_say_that_they_cannot(site: Site) -> None:
    async with FakeOpenAI(models=("qwen",)) as vllm:
        await site.made("upstreams", name="vllm", kind="openai", url=vllm.url)
        for answer in (
            await site.admin.post(f"{MODELS}/pull", json={"model": "new", "pool": "vllm"}),
            await site.admin.post(f"{MODELS}/pull", json={"model": "new", "upstream": "vllm"}),
            await site.admin.post(f"{MODELS}/copy", json={"source": "qwen", "destination": "mine"}),
            await site.admin.delete(f"{MODELS}/qwen"),
        ):
            problem(answer, 400, "unsupported_by_upstream")
        assert (await pulled(site, model="new"))[-1]["upstream"] == "fake"  # the only pool that can
        assert (await site.admin.get(f"{MODELS}/qwen")).json()["size"] is None


async def test_the_document_tells_that_a_pull_is_a_stream(site: Site) -> None:
    document = (await site.admin.get("/admin/v1/openapi.json")).json()
    content = document["paths"]["/models/pull"]["post"]["responses"]["200"]["content"]
    assert list(content) == ["application/x-ndjson"]
    assert content["application/x-ndjson"]["schema"] == {"$ref": "#/components/schemas/PullEvent"}


# -- Ollama's own routes -----------------------------------------------------------------------


async def test_the_official_ollama_client_pulls_copies_and_deletes(site: Site) -> None:
    key = await site.gateway.new_key("boss", role="admin")
    client = ollama_client.AsyncClient(host=site.url, headers={"Authorization": f"Bearer {key}"})
    events = [event async for event in await client.pull("new:1b", stream=True)]
    assert [event.status for event in events if event.digest is None] == [
        "pulling manifest",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    assert [event.completed for event in events if event.digest][-1] == 4000
    assert (await client.pull("another:1b")).status == "success"
    assert (await client.copy("new:1b", "mine")).status == "success"
    assert (await client.delete("new:1b")).status == "success"
    assert [model.model for model in (await client.list()).models] == ["another:1b", "llama3.2:latest", "mine:latest"]
    with pytest.raises(ollama_client.ResponseError, match="file does not exist"):
        await client.pull("no-such")
    with pytest.raises(ollama_client.ResponseError, match="file does not exist"):
        [event async for event in await client.pull("no-such", stream=True)]
    with pytest.raises(ollama_client.ResponseError, match="not found"):
        await client.delete("new:1b")
    with pytest.raises(ollama_client.ResponseError, match="not found"):
        await client.copy("nothing", "mine")
    await client._client.aclose()
    assert {entry["who"] for entry in noted(site, "model.delete")} == {"boss"}


async def test_several_upstreams_look_like_one_to_an_ollama_client(site: Site) -> None:
    async with FakeOllama() as second:
        await site.made("upstreams", name="gpu2", url=second.url, pool="fake")
        second.script(Script(token_gates={3: "go"}), path="/api/pull")
        async with site.admin.stream("POST", "/api/pull", json={"model": "new:1b"}) as answer:
            lines = answer.aiter_lines()
            while not (await site_pulled(second)):
                await anext(lines)
            second.release("go")
            events = [json.loads(line) async for line in lines]
        assert events[-1] == {"status": "success"}
        assert sum(event["status"] == "success" for event in events) == 1
        assert {name for fake in (site.ollama, second) for name in fake.models} == {"llama3.2:latest", "new:1b"}


async def site_pulled(fake: FakeOllama) -> bool:
    return any(seen.tokens_sent >= 3 for seen in fake.reads if seen.path == "/api/pull")


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/pull"), ("POST", "/api/copy"), ("DELETE", "/api/delete")])
async def test_models_are_changed_by_administrators_only(site: Site, method: str, path: str) -> None:
    body = {"model": "llama3.2", "source": "llama3.2", "destination": "x"}
    for client, status in ((site.nobody, 401), (site.user, 403)):
        answer = await client.request(method, path, json=body)
        assert answer.status_code == status
        assert list(answer.json()) == ["error"]
    assert (await site.admin.request("PUT", path, json=body)).status_code == 405
    assert (await site.admin.request(method, path, json={})).status_code == 400
    assert (await site.admin.request(method, path, content=b"nonsense")).status_code == 400
    assert site.ollama.models == ["llama3.2:latest"]


@pytest.mark.parametrize("path", ["/api/push", "/api/create", "/api/blobs/sha256:00"])
async def test_the_other_routes_do_not_exist(site: Site, path: str) -> None:
    assert (await site.admin.post(path, json={"model": "llama3.2"})).status_code == 404


async def test_a_failure_after_the_first_line_ends_the_stream_with_an_error(site: Site) -> None:
    site.ollama.script(Script(error_after=(2, "")), path="/api/pull")
    answer = await site.admin.post("/api/pull", json={"model": "new:1b"})
    assert answer.status_code == 200
    assert lines_of(answer.text)[-1] == {"error": "fake: max retries exceeded"}
    whole = await site.admin.post("/api/pull", json={"model": "no-such", "stream": False})
    assert (whole.status_code, whole.json()["error"]) == (502, "fake: pull model manifest: file does not exist")
