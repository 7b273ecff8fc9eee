"""The wheel is all that a user needs: no Node, no sources, no compiler."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import httpx
import pytest

from deploy.hatch_build import PageHook, bill_of_materials
from tests.fakes import FakeOllama
from tests.system.processes import first_line, run, serving
from tests.system.test_serve import PASSWORD, url_in

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as `make wheel` builds them: the sources, and from those the wheel."""
    place = tmp_path_factory.mktemp("dist")
    build("--outdir", str(place))
    return place


def build(*arguments: str) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", *arguments, str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)


def wheel_in(dist: Path) -> Path:
    (wheel,) = dist.glob("*.whl")
    return wheel


def install(place: Path, wheel: Path) -> str:
    """Install the wheel and what is locked into a clean environment; returns its Python."""
    python = str(place / "env" / "bin" / "python")
    venv.create(place / "env")
    for what in (["--require-hashes", "-r", str(ROOT / "requirements.lock")], [str(wheel)]):
        uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--python", python, "--no-deps", *what]
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", *what]
        # Where uv cannot get at the packages, pip can: it has settings of its own.
        if subprocess.run(uv, check=False, capture_output=True).returncode:
            subprocess.run([python, "-m", "ensurepip"], check=True, capture_output=True)
            subprocess.run(pip, check=True)
    return python


def test_a_wheel_from_the_repository_is_the_one_from_the_packed_sources_bit_by_bit(dist: Path, tmp_path: Path) -> None:
    """Whoever builds it gets the same; and what is packed is all that it is built from."""
    build("--wheel", "--outdir", str(tmp_path))
    assert wheel_in(tmp_path).read_bytes() == wheel_in(dist).read_bytes()


def test_the_bill_of_materials_is_in_the_wheel_and_beside_it(dist: Path) -> None:
    version = metadata.version("llmgate-server")
    (beside,) = dist.glob("*.cdx.json")
    with zipfile.ZipFile(wheel_in(dist)) as wheel:
        inside = wheel.read(f"llmgate_server-{version}.dist-info/sboms/{beside.name}")
    assert inside == beside.read_bytes()
    assert json.loads(inside) == bill_of_materials(ROOT, "llmgate-server", version)


async def test_the_wheel_runs_a_daemon_in_a_clean_environment(dist: Path, tmp_path: Path) -> None:
    python = await asyncio.to_thread(install, tmp_path, wheel_in(dist))
    home = tmp_path / "home"
    home.mkdir()
    async with FakeOllama() as fake:
        code, _, err = await run(
            "init", "--upstream", fake.url, "--state-dir", str(home / "state"), "--port", "0", "--password-stdin",
            home=home, stdin=PASSWORD + "\n", python=python, PATH="/usr/bin:/bin",
        )  # fmt: skip
        assert code == 0, err
        async with serving(home=home, python=python, PATH="/usr/bin:/bin") as daemon:
            url = url_in(await first_line(daemon))
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                page = await client.get("/", headers={"accept": "text/html"})
                script = re.search(r'src="\./(assets/[^"]+\.js)"', page.text)
                assert script is not None, page.text
                assert (await client.get(f"/{script[1]}")).headers["content-encoding"] == "gzip"
                login = await client.post("/gate/auth/login", json={"name": "admin", "password": PASSWORD})
                headers = {"authorization": f"Bearer {login.json()['access_token']}"}
                body = {"model": "llama3.2", "messages": [], "stream": False}
                answer = await client.post("/api/chat", json=body, headers=headers)
                assert answer.json()["message"]["content"] == "Hello, world!"


def test_no_package_is_made_without_the_chat_page(tmp_path: Path) -> None:
    hook = PageHook(str(tmp_path), {}, None, None, "", "sdist")  # type: ignore[arg-type]  # not looked at
    hook.initialize("editable", {})
    with pytest.raises(RuntimeError, match="make page"):
        hook.initialize("standard", {})
    page = tmp_path / "llmgate/daemon/static/index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    hook.initialize("standard", {})
