"""deploy/Dockerfile and deploy/compose.yaml, read as closely as that goes without a container engine."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmgate.config import ServerSettings, load
from tests.deploy.test_systemd import SAID

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
TAG = re.compile(r"[a-z0-9./-]+:[a-z0-9.-]*\d[a-z0-9.-]*")
INSTRUCTIONS = {
    "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT",
    "CMD",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Instruction:
    stage: int
    name: str
    text: str

    @property
    def words(self) -> list[str]:
        return self.text.split()


def instructions() -> list[Instruction]:
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found, stage = [], -1
    for line in filter(None, re.sub(r"\\\n\s*", "", text).splitlines()):
        name, _, rest = line.partition(" ")
        stage += name == "FROM"
        found.append(Instruction(stage, name, rest.strip()))
    return found


def of(name: str) -> list[Instruction]:
    return [one for one in instructions() if one.name == name]


def copied() -> list[tuple[int, list[str], str]]:
    """Of each COPY out of the repository: the stage, what, and where to."""
    return [(one.stage, one.words[:-1], one.words[-1]) for one in of("COPY") if not one.text.startswith("--from")]


def in_context(path: Path) -> bool:
    """Whether the ignore file lets it into the context: the last pattern that fits decides, as Docker does."""
    name, kept = path.relative_to(ROOT).as_posix(), True
    for line in (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        if line.startswith("#") or not line:
            continue
        parts = [name, *(parent.as_posix() for parent in Path(name).parents)]
        names = [part.rpartition("/")[2] for part in parts] if "**" in line else parts
        if any(fnmatch.fnmatchcase(part, pattern) for part in names if part != "."):
            kept = line.startswith("!")
    return kept


def test_every_instruction_is_known_and_every_base_has_a_tag() -> None:
    assert {one.name for one in instructions()} <= INSTRUCTIONS
    stages = {one.words[2] for one in of("FROM") if len(one.words) == 3}
    bases = [one.words[0] for one in of("FROM")]
    assert [base for base in bases if not TAG.fullmatch(base)] == []
    sources = {one.words[0].removeprefix("--from=") for one in of("COPY") if one.text.startswith("--from")}
    assert sources == stages


def test_everything_that_is_copied_is_there_and_not_ignored() -> None:
    for _, sources, _ in copied():
        for source in sources:
            assert (ROOT / source).exists(), source
            assert in_context(ROOT / source.rstrip("/")), source
    for secret in ("llmgate.toml", "deploy/.env", ".venv/bin/python", ".git/config", "secret.key", "tests/conftest.py"):
        assert not in_context(ROOT / secret), secret


def test_the_image_runs_as_nobody_and_ends_kindly() -> None:
    last = max(one.stage for one in instructions())
    users = [one.text for one in of("USER") if one.stage == last]
    assert users == ["10001"]
    order = [one.name for one in instructions() if one.stage == last]
    assert order.index("USER") > max(index for index, name in enumerate(order) if name == "RUN")
    assert [one.text for one in of("STOPSIGNAL")] == ["SIGTERM"]
    # The exec form: through a shell, SIGTERM would not arrive.
    assert [one.text[0] for one in [*of("ENTRYPOINT"), *of("CMD")]] == ["[", "["]
    (health,) = of("HEALTHCHECK")
    assert "/health/live" in health.text


def test_what_is_installed_is_locked_and_no_secret_is_in_it() -> None:
    installs = [part for one in of("RUN") for part in one.text.split("&&") if "pip install" in part]
    assert installs
    for install in installs:
        assert "--no-deps" in install
        assert "--require-hashes" in install or "/dist/" in install, install
    assert "npm ci" in " ".join(one.text for one in of("RUN"))
    assert not re.search(r"(?i)password|secret|token|api_key", " ".join(one.text for one in instructions()))


@pytest.mark.slow
def test_what_is_copied_is_enough_to_build_the_wheel(tmp_path: Path) -> None:
    """The second stage, carried out here with the page that is built already."""
    (stage,) = {stage for stage, sources, _ in copied() if "llmgate/" in sources}
    for at, sources, target in copied():
        for source in sources if at == stage else []:
            if (ROOT / source).is_dir():
                unwanted = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, tmp_path / target, dirs_exist_ok=True, ignore=unwanted)
            else:
                place = tmp_path / target / (Path(source).name if target.endswith("/") else "")
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path / "dist"), "."], check=True, cwd=tmp_path, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("llmgate_server-*.whl")
    assert "llmgate/daemon/static/index.html" in zipfile.ZipFile(wheel).namelist()


# compose.yaml


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return found


def test_only_the_gateway_is_reached_from_outside() -> None:
    document = compose()
    published = {name: one["ports"] for name, one in document["services"].items() if "ports" in one}
    assert published == {"gateway": [f"127.0.0.1:11435:{ServerSettings().port}"]}
    assert document["networks"]["inside"]["internal"] is True
    for name in ("postgres", "rabbitmq"):
        assert document["services"][name]["networks"] == ["inside"]


def test_the_gateway_waits_for_those_that_it_needs() -> None:
    services = compose()["services"]
    for name, condition in services["gateway"]["depends_on"].items():
        if condition["condition"] == "service_healthy":
            assert services[name]["healthcheck"]["test"][0] == "CMD"
    assert set(services["gateway"]["depends_on"]) == set(services) - {"gateway"}
    assert all(one["restart"] == "unless-stopped" for one in services.values())


def test_every_image_has_a_tag_and_every_volume_a_name() -> None:
    document = compose()
    images = [one["image"] for one in document["services"].values() if "build" not in one]
    assert [image for image in images if not TAG.fullmatch(image)] == []
    mounted = {volume.partition(":")[0] for one in document["services"].values() for volume in one["volumes"]}
    assert mounted == set(document["volumes"])
    build = document["services"]["gateway"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE


def test_no_secret_is_in_the_file_and_none_has_a_default() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    named = re.findall(r"\$\{(\w+)([^}]*)\}", text)
    assert {name for name, _ in named} == {"POSTGRES_PASSWORD", "RABBITMQ_PASSWORD"}
    assert all(rest.startswith(":?") for _, rest in named)  # without it nothing starts
    given = re.findall(r"(?im)^\s+\w*(?:password|pass|url): (.*)$", text)
    assert given
    assert [value for value in given if "${" not in value] == []
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "deploy/.env" in ignored


def test_what_a_read_only_service_is_given_are_files() -> None:
    """Compose refuses any other kind: it would write it into the container, which cannot be written to."""
    document = compose()
    read_only = [one for one in document["services"].values() if one.get("read_only")]
    assert read_only
    for kind in ("configs", "secrets"):
        for given in [given for one in read_only for given in one.get(kind, [])]:
            source = given["source"] if isinstance(given, dict) else given
            assert set(document[kind][source]) == {"file"}, source
            assert (DEPLOY / document[kind][source]["file"]).is_file()


def test_its_settings_are_good() -> None:
    document = compose()
    gateway = document["services"]["gateway"]
    environment = {name: re.sub(r"\$\{\w+[^}]*\}", "0123abcd", value) for name, value in gateway["environment"].items()}
    [config] = gateway["configs"]
    settings = load(DEPLOY / document["configs"][config["source"]]["file"], environ=environment).settings
    assert config["target"] == "/etc/llmgate/llmgate.toml"
    assert settings.queue.backend == "rabbitmq"
    assert settings.upstreams[0].slots == int(document["services"]["ollama"]["environment"]["OLLAMA_NUM_PARALLEL"])
    # Who comes through the published port has this address.
    (network,) = document["networks"]["outside"]["ipam"]["config"]
    assert settings.server.trusted_proxies == [f"{network['gateway']}/32"]
    seconds = int(gateway["stop_grace_period"].removesuffix("s"))
    assert seconds >= settings.server.drain_seconds + SAID
    assert f"--time {seconds}," in DOCKERFILE.read_text(encoding="utf-8")


def test_the_gateway_may_do_little() -> None:
    gateway = compose()["services"]["gateway"]
    assert gateway["read_only"] is True
    assert gateway["cap_drop"] == ["ALL"]
    assert gateway["security_opt"] == ["no-new-privileges:true"]
    assert gateway["ulimits"]["core"] == 0
