"""`llmgate serve`: run the daemon."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgate.cli.program import called, fresh_process
from llmgate.errors import ConfigError

if TYPE_CHECKING:
    from llmgate.config import LoadedSettings
    from llmgate.daemon.bootstrap import DemoAccess
    from llmgate.daemon.services import Services
    from llmgate.daemon.workers import Handover

CONFIG_PLACES = (Path("llmgate.toml"), Path("/etc/llmgate/llmgate.toml"))
END_SECONDS = 30
"""Longest time to put everything away."""


def find_config(given: Path | None) -> Path | None:
    """The file that was named, by flag or LLMGATE_CONFIG, else the first of the usual ones that exists."""
    if given is not None:
        return given
    if named := os.environ.get("LLMGATE_CONFIG"):
        return Path(named)
    return next((path for path in CONFIG_PLACES if path.is_file()), None)


def serve(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.", min=0, max=65535)] = None,
    workers: Annotated[int, typer.Option(help="Processes that serve; more than one need RabbitMQ.", min=1, max=64)] = 1,
    demo: Annotated[bool, typer.Option("--demo", help="Try it: a real small model, a temporary state.")] = False,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="text|json", help="How --demo tells its keys.")
    ] = "text",
    as_worker: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the gateway.

    Examples:
      llmgate serve --config /etc/llmgate/llmgate.toml
      llmgate serve --demo
    """
    from llmgate import config as settings_module
    from llmgate.daemon.logs import configure_logging

    if output not in {"text", "json"}:
        raise typer.BadParameter("must be text or json", param_hint="--output")
    handover = _handover(as_worker)
    server = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    flags: Mapping[str, Mapping[str, Any]] = {"server": server} if server else {}
    path = None if demo else find_config(config)
    loaded = settings_module.load(path, flags)
    if workers > 1:
        _check_several(workers, loaded.settings, demo=demo)
    configure_logging(loaded.settings.log, worker=handover.number if handover else None)
    _share_metrics(handover)
    if handover is not None:
        _run(_serve_as_worker(loaded, handover))
    elif workers > 1:
        # A worker is told the file by name: it must not find another one, should it be started again later.
        named = [] if path is None else [f"--config={path}"]
        given = [f"--{name}={value}" for name, value in server.items()]
        command = [*fresh_process(), "serve", *named, *given, f"--workers={workers}", f"--output={output}"]
        code = asyncio.run(_serve_with_workers(loaded.settings, workers, [*command, "--as-worker"]))
        if code:
            raise typer.Exit(code)
    elif demo:
        _run(_serve_demo(loaded, as_json=output == "json"))
    else:
        _run(_serve(loaded))


def _handover(text: str | None) -> Handover | None:
    from llmgate.daemon.workers import Handover

    try:
        return None if text is None else Handover.parse(text)
    except ValueError:
        raise typer.BadParameter("is only for llmgate itself", param_hint="--as-worker") from None


def _share_metrics(handover: Handover | None) -> None:
    """Whether the metrics are those of one worker or of a whole daemon: to be said before the first one is made."""
    from llmgate.daemon.metrics import directory

    if handover is None:
        os.environ.pop(directory.VARIABLE, None)  # of somebody else's making
    else:
        directory.share_as(handover.number)


def _check_several(count: int, settings: Any, *, demo: bool) -> None:
    """Raise ConfigError where several processes would be several gateways that know nothing of each other."""
    if demo:
        raise ConfigError(
            f"--workers {count} and --demo do not go together: the demo's waiting line lives in one process.",
            hint="Leave one of them out.",
        )
    if settings.queue.backend == "memory":
        raise ConfigError(
            f'--workers {count} needs queue.backend = "rabbitmq": the memory queue lives in one process, and each '
            "worker would have a waiting line and slots of its own.",
            hint="Set queue.backend, or leave --workers out.",
        )


def _run(work: Coroutine[Any, Any, None]) -> None:
    import uvloop

    uvloop.run(work)


async def _serve(loaded: LoadedSettings) -> None:
    from llmgate.daemon import listening, server

    listener = listening.listen(loaded.settings.server)
    url = listening.url_of(listener)

    async def announce(services: Services) -> None:
        token = await services.first_admin.prepare()
        _say(f"llmgate serves at {url}")
        _announce_setup(url, token)

    await server.serve(loaded, listener, announce, ended=_watch_the_end)


async def _serve_with_workers(settings: Any, count: int, command: Sequence[str]) -> int:
    """Be the parent of ``count`` processes of ``command``. Returns the exit code."""
    from llmgate.daemon import listening, workers
    from llmgate.daemon.metrics import directory

    listener = listening.listen(settings.server)
    url = listening.url_of(listener)

    def announce(setup_token: str | None) -> None:
        _say(f"llmgate serves at {url} with {count} workers")
        _announce_setup(url, setup_token)

    stop_seconds = settings.server.drain_seconds + workers.SPARE_SECONDS
    with directory.for_workers(settings.state.dir) as metrics:
        parent = workers.Workers(
            command,
            count,
            listener,
            stop_seconds=stop_seconds,
            environment={directory.VARIABLE: str(metrics)},
            died=lambda number: directory.worker_died(metrics, number),
        )
        return await parent.run(announce)


async def _serve_as_worker(loaded: LoadedSettings, handover: Handover) -> None:
    from llmgate.daemon import server, workers

    async with workers.parent_of(handover) as (parent, listener):

        async def announce(services: Services) -> None:
            token = await services.first_admin.prepare(parent.setup_token)
            parent.ready(needs_setup=token is not None)
            parent.drains(services.settings.server.drain_seconds)
            services.reconfiguration.to_siblings = parent.reloaded
            services.live.on_change(lambda _, after: parent.drains(after.server.drain_seconds))

        await server.serve(loaded, listener, announce, parent.orders(), _watch_the_end)


def _watch_the_end() -> None:
    """A daemon that has let its clients go must not stay: should putting everything away hang, say where, and end."""
    import faulthandler

    faulthandler.dump_traceback_later(END_SECONDS, exit=True)


def _announce_setup(url: str, token: str | None) -> None:
    if token is not None:
        _say(f"There is no administrator yet. Stop the gateway and run `{called()} init`, or use this token, once:")
        _say(f"  {called()} login --setup --url {url}    (setup token: {token})")


async def _serve_demo(loaded: LoadedSettings, *, as_json: bool) -> None:
    import tempfile
    from dataclasses import replace

    from llmgate.config import StateSettings
    from llmgate.daemon import listening, server
    from llmgate.daemon.bootstrap import create_demo_access
    from llmgate.daemon.upstreams.demo import DemoModel

    listener = listening.listen(loaded.settings.server)
    url = listening.url_of(listener)
    with tempfile.TemporaryDirectory(prefix="llmgate-demo-") as state:
        if not as_json:
            _say("Starting the demo model ...")
        model = DemoModel()
        try:
            upstream = await model.start()
            settings = loaded.settings.model_copy(
                update={"state": StateSettings(dir=Path(state)), "upstreams": [upstream]}
            )
            # There is nothing to read again: what the demo works with is written nowhere.
            made_up = replace(loaded, settings=settings, reread=None)

            async def announce(services: Services) -> None:
                access = await create_demo_access(services.changes, services.hasher, services.secret)
                _announce_demo(url, model.name, access, as_json=as_json)

            await server.serve(made_up, listener, announce, ended=_watch_the_end)
        finally:
            await model.stop()


def _announce_demo(url: str, model: str, access: DemoAccess, *, as_json: bool) -> None:
    facts = {
        "url": url,
        "api_key": access.api_key,
        "admin_user": access.admin_user,
        "admin_password": access.admin_password,
        "registration_token": access.registration_token,
        "model": model,
    }
    if as_json:
        print(json.dumps(facts), flush=True)  # noqa: T201 - this line is the command's output
        return
    request = json.dumps({"model": model, "messages": [{"role": "user", "content": "Say hello."}]})
    _say(
        f"""
llmgate serves {model} at {url}

  admin                {access.admin_user}
  password             {access.admin_password}
  API key              {access.api_key}
  registration token   {access.registration_token}

Chat with it in a browser, as admin or with an account of your own:

  {url}/#/register?token={access.registration_token}

Ask it from a program:

  curl -N {url}/api/chat -H 'Authorization: Bearer {access.api_key}' -d '{request}'

Run it (in another terminal):

  {called()} login --url {url} --name {access.admin_user}
  {called()} tui

Everything is gone when you stop it with Ctrl-C."""
    )


def _say(text: str) -> None:
    print(text, file=sys.stdout, flush=True)  # noqa: T201 - the daemon's own terminal
