"""`llmgate serve`: run the daemon."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmgate.cli.program import called

if TYPE_CHECKING:
    from llmgate.daemon.bootstrap import DemoAccess
    from llmgate.daemon.services import Services

CONFIG_PLACES = (Path("llmgate.toml"), Path("/etc/llmgate/llmgate.toml"))


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
    demo: Annotated[bool, typer.Option("--demo", help="Try it: a real small model, a temporary state.")] = False,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="text|json", help="How --demo tells its keys.")
    ] = "text",
) -> None:
    """Run the gateway."""
    import uvloop

    from llmgate import config as settings_module
    from llmgate.daemon.logs import configure_logging

    if output not in {"text", "json"}:
        raise typer.BadParameter("must be text or json", param_hint="--output")
    server = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    flags: Mapping[str, Mapping[str, Any]] = {"server": server} if server else {}
    loaded = settings_module.load(None if demo else find_config(config), flags)
    configure_logging(loaded.settings.log)
    if demo:
        uvloop.run(_serve_demo(loaded.settings, as_json=output == "json"))
    else:
        uvloop.run(_serve(loaded.settings))


async def _serve(settings: Any) -> None:
    from llmgate.daemon import server

    listener = server.listen(settings.server)
    url = server.url_of(listener)

    async def announce(services: Services) -> None:
        _say(f"llmgate serves at {url}")
        token = await services.first_admin.prepare()
        if token is not None:
            _say(f"There is no administrator yet. Stop the gateway and run `{called()} init`, or use this token, once:")
            _say(f"  {called()} login --setup --url {url}    (setup token: {token})")

    await server.serve(settings, listener, announce)


async def _serve_demo(settings: Any, *, as_json: bool) -> None:
    import tempfile

    from llmgate.config import StateSettings
    from llmgate.daemon import server
    from llmgate.daemon.bootstrap import create_demo_access
    from llmgate.daemon.upstreams.demo import DemoModel

    listener = server.listen(settings.server)
    url = server.url_of(listener)
    with tempfile.TemporaryDirectory(prefix="llmgate-demo-") as state:
        if not as_json:
            _say("Starting the demo model ...")
        model = DemoModel()
        try:
            upstream = await model.start()
            settings = settings.model_copy(update={"state": StateSettings(dir=Path(state)), "upstreams": [upstream]})

            async def announce(services: Services) -> None:
                access = await create_demo_access(services.database, services.hasher, services.secret)
                _announce_demo(url, model.name, access, as_json=as_json)

            await server.serve(settings, listener, announce)
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

Ask it something:

  curl -N {url}/api/chat -H 'Authorization: Bearer {access.api_key}' -d '{request}'

Run it (in another terminal):

  {called()} login --url {url} --name {access.admin_user}
  {called()} usage

Everything is gone when you stop it with Ctrl-C."""
    )


def _say(text: str) -> None:
    print(text, file=sys.stdout, flush=True)  # noqa: T201 - the daemon's own terminal
