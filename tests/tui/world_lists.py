"""The rows of ``tests.tui.world``: who and what there is in the gateway of the pictures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from llmgate import config_keys, schemas

NOW = datetime(2026, 11, 25, 14, 30, 0, tzinfo=UTC)
OWNERS = {
    "bob": "session:01JDX0BOB",
    "carla": "session:01JDX0CARLA",
    "ann/editor": "key:aB3dE5gH0j",
    "nightly": "key:aB3dE5gH1j",
    "search-index": "key:aB3dE5gH2j",
}
"""Whom requests belong to, by name."""
MODELS = ("llama3.2:latest", "qwen2.5-coder:32b", "gpt-oss:20b", "nomic-embed-text:latest", "mistral-small:24b")


def ago(**parts: float) -> datetime:
    return NOW - timedelta(**parts)


def page(rows: list[Any]) -> schemas.Page[Any]:
    return schemas.Page[Any](data=rows)


def users() -> schemas.Page[Any]:
    people = [
        ("root", "admin", 1, 0.2),
        ("ann", "user", 2, 1.5),
        ("bob", "user", None, 7),
        ("carla", "user", 4, 30),
        ("dmitri", "user", None, 300),
        ("eve", "user", 5, None),
    ]
    return page([_user(number, *person) for number, person in enumerate(people)])


def _user(number: int, name: str, role: Any, level: int | None, hours: float | None) -> schemas.User:
    return schemas.User(
        id=f"01JDX0{name.upper()}",
        name=name,
        role=role,
        level=level,
        disabled=name == "eve",
        created_at=ago(days=90 - 7 * number),
        updated_at=ago(days=20 - number),
        last_login_at=None if hours is None else ago(hours=hours),
    )


def sessions() -> schemas.Page[Any]:
    rows = [
        ("root", "llmgate/0.1.0", "192.0.2.10", 0.2, True),
        ("ann", "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "192.0.2.31", 1.5, True),
        ("bob", "Mozilla/5.0 (Macintosh) Safari/605.1.15", "198.51.100.7", 7, True),
        ("bob", "llmgate/0.1.0", "198.51.100.7", 50, False),
    ]
    return page(
        [
            schemas.Session(
                id=f"01JDX0S{number}", user_id=f"01JDX0{name.upper()}", user=name, client=client, address=address,
                created_at=ago(hours=hours), last_used_at=ago(hours=hours / 4), expires_at=NOW + timedelta(days=7),
                revoked_at=None if live else ago(hours=20), live=live, current=number == 0,
            )
            for number, (name, client, address, hours, live) in enumerate(rows)
        ]
    )  # fmt: skip


def tokens() -> schemas.Page[Any]:
    rows = [("new colleagues", 20, 7, 14), ("workshop", 30, 30, 3), ("carla", 1, 1, None), ("interns", 5, 0, -2)]
    return page(
        [
            schemas.RegistrationToken(
                id=f"01JDX0T{number}", label=label, role="user", level=4, max_uses=most, uses=uses,
                expires_at=None if days is None else NOW + timedelta(days=days),
                revoked_at=ago(days=1) if label == "interns" else None,
                created_at=ago(days=10 + number), created_by="root",
            )
            for number, (label, most, uses, days) in enumerate(rows)
        ]
    )  # fmt: skip


def keys() -> schemas.Page[Any]:
    rows = [
        ("editor", "ann", 2, "active", 0.01, None),
        ("nightly", None, 5, "active", 9, None),
        ("search-index", None, 4, "active", 0.3, 90),
        ("notebook", "bob", None, "active", 30, 12),
        ("old-bot", None, 3, "revoked", 2000, None),
        ("eves-plugin", "eve", None, "owner_disabled", 700, None),
        ("trial", None, 5, "expired", 400, -4),
    ]
    return page([_key(number, *row) for number, row in enumerate(rows)])


def _key(
    number: int, name: str, user: str | None, level: int | None, state: Any, hours: float, days: int | None
) -> schemas.ApiKey:
    return schemas.ApiKey(
        id=f"aB3dE5gH{number}j",
        name=name,
        user_id=None if user is None else f"01JDX0{user.upper()}",
        user=user,
        role="user",
        level=level,
        state=state,
        models=["llama3.2:latest", "qwen2.5-coder:32b"] if name == "editor" else None,
        routes=["embeddings"] if name == "search-index" else None,
        cidrs=["10.0.0.0/8"] if name == "nightly" else None,
        weight=1.0,
        expires_at=None if days is None else NOW + timedelta(days=days),
        revoked_at=ago(days=70) if state == "revoked" else None,
        disabled=False,
        created_at=ago(days=80 - number),
        last_used_at=ago(hours=hours),
        rotated_at=None,
        previous_until=None,
        last4=f"x{number}Qz",
        requests_per_minute=60 if name == "notebook" else None,
        tokens_per_minute=None,
        max_concurrent=8 if name == "nightly" else None,
        max_waiting=None,
        tokens_per_day=2_000_000 if name == "nightly" else None,
        tokens_per_month=None,
    )


def whitelist() -> schemas.Page[Any]:
    rows = [("192.0.2.0/24", "office", 3), ("10.20.0.0/16", "cluster", 4), ("2001:db8:7::/48", "lab", None)]
    return page(
        [
            schemas.WhitelistEntry(
                id=f"01JDX0W{number}", cidr=cidr, label=label, level=level,
                expires_at=NOW + timedelta(days=30) if label == "lab" else None, created_at=ago(days=40 - number),
            )
            for number, (cidr, label, level) in enumerate(rows)
        ]
    )  # fmt: skip


def whitelist_test() -> schemas.WhitelistTest:
    return schemas.WhitelistTest(
        address="192.0.2.10", entry=whitelist().data[0], level=3, enabled=True, your_address="192.0.2.10",
        peer="192.0.2.10", forwarded_for=[], explanation="It is the other end of the connection.",
    )  # fmt: skip


def upstreams() -> schemas.Page[Any]:
    rows = [
        ("gpu1", "ollama", "http://10.0.0.7:11434", "gpu", 4, "healthy", "", MODELS[:3]),
        ("gpu2", "ollama", "http://10.0.0.8:11434", "gpu", 4, "degraded", "Slow answers.", MODELS[:3]),
        ("vllm", "openai", "http://10.0.0.9:8000", "vllm", 16, "healthy", "", MODELS[4:]),
        ("cpu", "ollama", "http://10.0.0.20:11434", "cpu", 2, "offline", "The upstream cpu cannot be reached.", ()),
    ]
    return page(
        [
            schemas.Upstream(
                name=name, kind=kind, url=url, pool=pool, slots=slots, api_key_set=kind == "openai",
                connect_timeout=5, first_byte_timeout=300, idle_timeout=60,
                origin="file" if name == "gpu1" else "database", state=state, reason=reason, models=list(models),
                loaded=list(models[:1]), version="0.12.3" if kind == "ollama" else "0.11.0",
            )
            for name, kind, url, pool, slots, state, reason, models in rows
        ]
    )  # fmt: skip


def pools() -> schemas.Page[Any]:
    partial = {"nomic-embed-text:latest": ["gpu1"]}
    return page(
        [
            _pool("gpu", 8, 5, 21, ["gpu1", "gpu2"], ["gpu1", "gpu2"], list(MODELS[:3]), partial),
            _pool("vllm", 16, 1, 0, ["vllm"], ["vllm"], list(MODELS[4:]), {}),
            _pool("cpu", 0, 0, 0, ["cpu"], [], [], {}),
        ]
    )


def _pool(
    name: str, slots: int, running: int, waiting: int, upstreams: list[str], usable: list[str], models: list[str],
    partial: dict[str, list[str]],
) -> schemas.Pool:  # fmt: skip
    return schemas.Pool(
        pool=name, state="open", slots=slots, running=running, waiting=waiting, upstreams=upstreams,
        usable_upstreams=usable, models=models, partial_models=partial,
    )  # fmt: skip


def models() -> schemas.Page[Any]:
    sizes = (2_019_393_189, 19_851_336_576, 13_793_441_244, 274_302_450, 14_333_908_352)
    return page(
        [
            schemas.Model(
                name=name, served=number != 3, pools=[] if number == 3 else ["vllm" if number == 4 else "gpu"],
                partial_pools=["gpu"] if number == 3 else [],
                upstreams=["vllm"] if number == 4 else ["gpu1"] if number == 3 else ["gpu1", "gpu2"],
                loaded=["gpu1"] if number == 0 else [], size=sizes[number], family="llama" if number == 0 else "other",
                parameters=("3.2B", "32.8B", "20.9B", "137M", "23.6B")[number], quantization="Q4_K_M",
                digest=f"a80c4f17acd5{number}", modified_at="2026-10-02T03:04:05Z",
            )
            for number, name in enumerate(MODELS)
        ]
    )  # fmt: skip


def loaded() -> schemas.Page[Any]:
    return page(
        [
            schemas.LoadedModel(
                name=MODELS[number], upstream=upstream, pool="gpu", size=size, size_vram=size, context_length=8192,
                expires_at="2026-11-25T14:35:00Z",
            )
            for number, upstream, size in ((0, "gpu1", 3_400_000_000), (1, "gpu2", 21_700_000_000))
        ]
    )  # fmt: skip


def pool_stats() -> schemas.Page[Any]:
    return page(
        [
            _stats("gpu", 8, 5, {1: 0, 2: 1, 3: 6, 4: 2, 5: 12}, {"gpu1": (3, 4), "gpu2": (2, 4)}),
            _stats("vllm", 16, 1, {}, {"vllm": (1, 16)}),
            _stats("cpu", 0, 0, {}, {"cpu": (0, 2)}),
        ]
    )


def _stats(
    name: str, slots: int, running: int, levels: dict[int, int], upstreams: dict[str, tuple[int, int]]
) -> schemas.PoolStats:
    busy = bool(levels)
    waiting = sum(levels.values())
    return schemas.PoolStats(
        pool=name, state="open", slots=slots, running=running, waiting=waiting, waiting_by_level=levels,
        aged_waiting=2 if busy else 0, oldest_wait=94.0 if busy else 0.0, granted=48_211, granted_aged=310,
        promotions=1_904, wait_p50={1: 0.1, 2: 0.8, 3: 4.2, 4: 11.0, 5: 38.0} if busy else {},
        wait_p95={1: 0.4, 2: 3.1, 3: 12.0, 4: 35.0, 5: 120.0} if busy else {},
        wait_max={1: 0.9, 2: 6.0, 3: 21.0, 4: 70.0, 5: 240.0} if busy else {},
        arrivals_per_second=7.5 if busy else 0.2, grants_per_second=7.3 if busy else 0.2,
        service_p50=1.1, service_p95=6.8, upstreams=upstreams, dispatcher="gate-1", epoch=3,
    )  # fmt: skip


def status() -> schemas.QueueStatus:
    return schemas.QueueStatus(
        backend="rabbitmq", state="connected", reason="", serves=True, broker_version="3.13.7",
        daemons=[_daemon("gate-1", ["gpu", "cpu"], 14, 4, 0.0), _daemon("gate-2", ["vllm"], 7, 2, 0.4)],
    )  # fmt: skip


def _daemon(name: str, dispatches: list[str], waiting: int, running: int, heard: float) -> schemas.QueueDaemon:
    return schemas.QueueDaemon(
        name=name, boot=f"{name}-boot", state="connected", reason="", dispatches=dispatches, waiting=waiting,
        running=running, heard=heard,
    )  # fmt: skip


def waiting() -> schemas.WaitingPage:
    levels = [2, *[3] * 6, 4, 4, *[5] * 12]
    names = ("bob", "ann/editor", "search-index", "nightly", "carla")
    rows = [
        schemas.Waiting(
            ticket_id=f"01JDX1{number:04d}Q7", pool="gpu", model=MODELS[number % 3], owner=OWNERS[names[number % 5]],
            owner_name=names[number % 5], submitted_level=level, level=level, aged=number in (1, 2), ahead=number,
            waited=94.0 - 4 * number, estimated_wait=0.7 * (number + 1),
        )
        for number, level in enumerate(levels)
    ]  # fmt: skip
    return schemas.WaitingPage(data=rows, total=len(rows))


def running() -> schemas.Page[Any]:
    rows = [("ann/editor", 3, "gpu1"), ("nightly", 5, "gpu1"), ("bob", 2, "gpu1"), ("nightly", 5, "gpu2")]
    rows += [("carla", 4, "gpu2"), ("search-index", 4, "vllm")]
    return page(
        [
            schemas.Running(
                ticket_id=f"01JDX2{number:04d}Q7", pool="vllm" if upstream == "vllm" else "gpu",
                model=MODELS[4] if upstream == "vllm" else MODELS[number % 3], owner=OWNERS[who], owner_name=who,
                level=level, upstream=upstream, running_for=0.4 + 3.7 * number,
            )
            for number, (who, level, upstream) in enumerate(rows)
        ]
    )  # fmt: skip


def requests() -> schemas.Page[Any]:
    outcomes: list[tuple[str, int, str | None]] = [("completed", 200, None)] * 7
    outcomes += [("client_disconnected", 499, None), ("upstream_failed", 502, "upstream_cut")]
    names = ("ann/editor", "nightly", "bob", "search-index")
    return page(
        [
            schemas.RequestRecord(
                request_id=f"9f2c{number:04x}", finished_at=ago(seconds=3 + 7 * number), principal_kind="key",
                principal_id=f"k{number % 4}", principal_name=names[number % 4], user_id=None, protocol="openai",
                route="/v1/chat/completions", model=MODELS[number % 3], pool="gpu", upstream=f"gpu{1 + number % 2}",
                submitted_level=2 + number % 4, stream=True, outcome=outcomes[number % 9][0],
                status=outcomes[number % 9][1], error_code=outcomes[number % 9][2], wait=0.3 * (number % 9),
                first_byte=0.4 + 0.3 * (number % 9), duration=2.1 + 0.6 * number, input_tokens=180 + 31 * number,
                output_tokens=90 + 17 * number,
            )
            for number in range(40)
        ]
    )  # fmt: skip


def activity() -> schemas.Page[Any]:
    rows: list[tuple[str, str, dict[str, Any]]] = [
        ("session.login", "root", {"client": "llmgate/0.1.0"}),
        ("key.update", "nightly", {"level": [4, 5], "tokens_per_day": [None, 2_000_000]}),
        ("queue.level", "llama3.2:latest", {"owner": "key:aB3dE5gH3j", "level": [5, 1]}),
        ("upstream.update", "gpu2", {"slots": [2, 4]}),
        ("settings.set", "queue.aging_seconds", {"value": [60.0, 30.0]}),
        ("user.create", "eve", {"role": "user", "level": 5}),
        ("key.revoke", "old-bot", {}),
        ("token.create", "new colleagues", {"max_uses": 20}),
        ("whitelist.create", "office", {"cidr": "192.0.2.0/24", "level": 3}),
    ]
    return page(
        [
            schemas.ActivityEntry(
                seq=1290 - number, at=ago(minutes=4 + 37 * number), actor_kind="session", actor_id="01JDX0ROOT",
                actor_name="root", address="192.0.2.10", request_id=f"7be{number:03x}", action=action,
                target_id=f"01JDX0A{number}", target_name=target, detail=detail, hash=f"{number:02x}" * 32,
            )
            for number, (action, target, detail) in enumerate(rows)
        ]
    )  # fmt: skip


def system() -> schemas.System:
    gib = 1024**3
    return schemas.System.model_validate(
        {
            "version": "0.1.0", "started_at": ago(days=12), "uptime": 12 * 86_400.0, "ready": True, "not_ready": [],
            "queue_backend": "rabbitmq", "queue_state": "connected",
            "versions": {"llmgate": "0.1.0", "python": "3.12.7", "platform": "Linux-6.8.0-x86_64-with-glibc2.39",
                         "database": "16.4", "broker": "3.13.7"},
            "machine": {"cpu": {"percent": 23.0, "cores": 16, "load": [3.1, 2.8, 2.2]},
                        "memory": {"total": 64 * gib, "used": 21 * gib},
                        "disk": {"path": "/var/lib/llmgate", "total": 500 * gib, "used": 180 * gib,
                                 "free": 320 * gib},
                        "process": {"pid": 812, "memory": 190 * 1024**2, "threads": 12, "descriptors": 148,
                                    "descriptors_limit": 20_000}},
            "gpus": [{"name": "NVIDIA RTX 4090", "percent": 87.0, "memory_total": 24 * gib, "memory_used": 21 * gib,
                      "temperature": 71.0}],
            "database": {"kind": "postgresql", "size": 212 * 1024**2, "revision": "0002"},
            "usage": {"pending": 0, "dropped": 0}, "events": {"clients": 2, "dropped": 0},
            "failed_logins": [{"hour": ago(hours=5), "failed": 3, "throttled": 0},
                              {"hour": ago(hours=1), "failed": 11, "throttled": 4}],
            "upstreams": {"usable": 3, "total": 4}, "daemons": [row.model_dump() for row in status().daemons],
        }
    )  # fmt: skip


def settings() -> schemas.Page[Any]:
    changed = {"queue.aging_seconds": 20.0}
    at = {"state.dir": "/var/lib/llmgate"}  # the default is in the home of whoever runs the tests
    return page(
        [
            schemas.Setting(
                key=name, value=changed.get(name, at.get(name, key.default)), default=at.get(name, key.default),
                origin="database" if name in changed else "default", mutable=key.run_time,
                reason="" if key.run_time else f"{name} cannot be changed while the daemon runs.",
                description=key.description, accepts=dict(key.schema),
                updated_at=ago(days=2) if name in changed else None, updated_by="root" if name in changed else None,
            )
            for name, key in config_keys.keys().items()
        ]
    )  # fmt: skip


PLACES: dict[str, Callable[[], schemas.Answer]] = {
    "users": users,
    "sessions": sessions,
    "tokens": tokens,
    "keys": keys,
    "whitelist": whitelist,
    "whitelist/test": whitelist_test,
    "upstreams": upstreams,
    "pools": pools,
    "models": models,
    "models/loaded": loaded,
    "queue/stats": pool_stats,
    "queue/status": status,
    "queue/waiting": waiting,
    "queue/running": running,
    "requests": requests,
    "activity": activity,
    "system": system,
    "settings": settings,
}
