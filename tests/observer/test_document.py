"""How the API describes the stream and the system."""

from __future__ import annotations

from typing import get_args

from llmgate import schemas
from tests.admin.harness import Site


async def test_the_stream_and_its_events_are_described(site: Site) -> None:
    document = (await site.admin.get("/admin/v1/openapi.json")).json()
    operation = document["paths"]["/events"]["get"]
    assert {parameter["name"] for parameter in operation["parameters"]} == {"types", "Last-Event-ID"}
    answer = operation["responses"]["200"]
    assert list(answer["content"]) == ["text/event-stream"]
    assert answer["headers"]["Cache-Control"]["schema"]["const"] == "no-store, no-transform"
    schema = answer["content"]["text/event-stream"]["schema"]
    mapping = schema["properties"]["data"]["contentSchema"]["discriminator"]["mapping"]
    assert set(mapping) == {*get_args(schemas.EventType), "lost", "reset", "end"}
    for reference in mapping.values():
        described = document["components"]["schemas"][reference.rpartition("/")[2]]
        assert {"type", "at", "daemon"} <= set(described["required"])
    assert {"400", "401", "403", "429", "503"} <= set(operation["responses"])
    assert document["components"]["schemas"]["System"]["properties"]["machine"]
