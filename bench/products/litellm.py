"""LiteLLM's proxy, as it is started for production, without a database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench.processes import free_port, process
from bench.products.base import Target, descendants, python_environment
from bench.products.common import KEY, local_environment, models_of, wait_until_up
from bench.products.turns import Asking, OneSlot

VERSION: Final = "1.108.7"
"""The newest one whose own dependencies can be installed: 1.109 pins versions that were not published."""


PRIORITIES: Final = "`priority` in the body, 100 and 0"


@contextmanager
def start(folder: Path, upstream: str) -> Iterator[Target]:
    """One worker, which is its default."""
    with _running(folder, upstream) as target:
        yield target


@contextmanager
def waiting_line(folder: Path, upstream: str) -> Iterator[OneSlot]:
    """The limit is of the worker, and requests wait for it."""
    limits = {
        "max_in_flight_requests_per_worker": 1,
        "max_queued_requests_per_worker": 1000,
        "admission_queue_timeout_seconds": 600,
    }
    with _running(folder, upstream, general=limits) as target:
        yield _in_turn(target, "`max_in_flight_requests_per_worker: 1`, with 1,000 that may wait for 600 s")


@contextmanager
def one_slot(folder: Path, upstream: str) -> Iterator[OneSlot]:
    """The limit is of the deployment of the model."""
    with _running(folder, upstream, deployment={"max_parallel_requests": 1}) as target:
        yield _in_turn(target, "`max_parallel_requests: 1` of the model")


@contextmanager
def only_priority(folder: Path, upstream: str) -> Iterator[OneSlot]:
    """As its documentation shows it: without a limit."""
    with _running(folder, upstream) as target:
        yield _in_turn(target, "no limit, as its documentation shows it")


def _in_turn(target: Target, limit: str) -> OneSlot:
    return OneSlot(target, Asking(body={"priority": 100}), Asking(body={"priority": 0}), f"{limit}; {PRIORITIES}")


@contextmanager
def _running(
    folder: Path,
    upstream: str,
    *,
    deployment: Mapping[str, object] = MappingProxyType({}),
    general: Mapping[str, object] = MappingProxyType({}),
) -> Iterator[Target]:
    """``deployment``: more settings of each model, ``general``: of the proxy."""
    bin_ = python_environment("litellm", f"litellm[proxy]=={VERSION}")
    port = free_port()
    models = [
        {
            "model_name": name,
            "litellm_params": {
                "model": f"openai/{name}",
                "api_base": f"{upstream}/v1",
                "api_key": "sk-fake",
                **deployment,
            },
        }
        for name in models_of(upstream)
    ]
    settings = {
        "model_list": models,
        "litellm_settings": {"num_retries": 0, "request_timeout": 600, "callbacks": []},
        "general_settings": {"master_key": KEY, **general},
    }
    config, log = folder / "litellm.yaml", folder / "litellm.log"
    config.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    environ = local_environment(
        LITELLM_MODE="PRODUCTION",
        LITELLM_LOG="ERROR",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LITELLM_OFFLINE_MODE="true",
        # By default 500 connections to an upstream are all: of 1,000 streams half would wait for the others' ends.
        AIOHTTP_CONNECTOR_LIMIT="4096",
        AIOHTTP_CONNECTOR_LIMIT_PER_HOST="4096",
    )
    command = [
        str(bin_ / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port),
        "--num_workers", "1", "--telemetry", "False",
    ]  # fmt: skip
    with process(command, log, environ) as child:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(f"{url}/health/liveliness", log, child)
        yield Target(
            name="LiteLLM",
            version=VERSION,
            url=url,
            key=KEY,
            pids=lambda: descendants(child.pid),
            note="its proxy with one worker and a master key; no database, so no users, keys, budgets or "
            "accounting; its limit of 500 connections to an upstream raised",
            slow=True,
        )
