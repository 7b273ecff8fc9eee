"""A real nginx with deploy/nginx.conf, as an operator would install it, in front of whatever daemons a test has.

Only what an operator changes as well is changed: names, ports, certificates, the daemons, places of files.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import os
import re
import shutil
import ssl
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.services.ports import free_ports

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
NAME = "localhost"
START_SECONDS = 20
STOP_SECONDS = 15

_MAIN = """
daemon off;
{user}
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  include {folder}/llmgate.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Front:
    """An nginx that serves. ``url`` is that of https; ``port`` and ``plain_port`` are for sockets of one's own."""

    folder: Path
    port: int
    plain_port: int
    context: ssl.SSLContext
    """Trusts the certificate of this nginx alone."""

    @property
    def url(self) -> str:
        return f"https://{NAME}:{self.port}"

    def client(self, **options: Any) -> httpx.AsyncClient:
        """A client that talks to it; ``options`` as httpx has them."""
        transport = httpx.AsyncHTTPTransport(
            verify=self.context,
            local_address=options.pop("local_address", None),
            limits=httpx.Limits(max_connections=None),
        )
        options = {"base_url": self.url, "timeout": 60, "trust_env": False, **options}
        return httpx.AsyncClient(transport=transport, **options)

    async def connect(self, *, tls: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection, to send what no client would. HTTP/1.1 only, as nothing else is offered."""
        if not tls:
            return await asyncio.open_connection("127.0.0.1", self.plain_port)
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=self.context, server_hostname=NAME)

    def log(self) -> str:
        """The access log so far."""
        return (self.folder / "access.log").read_text(encoding="utf-8")

    def errors(self) -> str:
        """The error log so far."""
        return (self.folder / "error.log").read_text(encoding="utf-8")


@asynccontextmanager
async def nginx_before(folder: Path, daemons: Sequence[str]) -> AsyncIterator[Front]:
    """nginx in front of the daemons with these URLs, until the block ends. ``folder`` must not be there yet."""
    port, plain_port = free_ports(2)
    context = _prepare(folder, port, plain_port, daemons)
    process = await asyncio.create_subprocess_exec(
        program(), "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log"),
        stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE,
    )  # fmt: skip
    front = Front(folder, port, plain_port, context)
    try:
        await _listening(process, port)
        yield front
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            _, said = await process.communicate()
    assert b"[emerg]" not in said, said.decode()


def _prepare(folder: Path, port: int, plain_port: int, daemons: Sequence[str]) -> ssl.SSLContext:
    """Write everything that nginx reads."""
    folder.mkdir(mode=0o755)
    addresses = [urlsplit(url).netloc for url in daemons]
    (folder / "llmgate.conf").write_text(configured(folder, port, plain_port, addresses), encoding="utf-8")
    # As root it would serve as another user, who may not look into a test's folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user), encoding="utf-8")
    return _certify(folder)


def program() -> str:
    """nginx's own path: Debian keeps it where only root's PATH leads."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise RuntimeError("nginx is not installed. Run: make services")
    return found


def configured(folder: Path, port: int, plain_port: int, daemons: Sequence[str]) -> str:
    """deploy/nginx.conf as somebody would change it who serves ``localhost`` here. Every change must find its place."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    text = _replaced(r"\n +listen \[::\]:\d+[^;]*;", "", text, 4)
    text = _replaced(r"listen 443\b", f"listen 127.0.0.1:{port}", text, 2)
    text = _replaced(r"listen 80\b", f"listen 127.0.0.1:{plain_port}", text, 2)
    text = _replaced(r"gate\.example\.com;", f"{NAME};", text, 2)
    text = _replaced(r"ssl_certificate /etc/[^;]+;", f"ssl_certificate {folder}/tls.pem;", text, 1)
    text = _replaced(r"ssl_certificate_key /etc/[^;]+;", f"ssl_certificate_key {folder}/tls.key;", text, 1)
    text = _replaced(r"root /var/www/html;", f"root {folder}/www;", text, 1)
    text = _replaced(r"access_log /var/[^ ]+ ", f"access_log {folder}/access.log ", text, 1)
    lines = "".join(rf"  server {daemon}\1;" + "\n" for daemon in daemons)
    return _replaced(r" +server 127\.0\.0\.1:11435([^;]*);[^\n]*\n", lines, text, 4)


def _replaced(pattern: str, new: str, text: str, times: int) -> str:
    text, count = re.subn(pattern, new, text)
    assert count == times, f"{pattern} is {count} times in {CONFIGURATION.name}, and not {times} times"
    return text


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            if process.returncode is not None:
                assert process.stderr is not None
                raise RuntimeError((await process.stderr.read()).decode())
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return


def _certify(folder: Path) -> ssl.SSLContext:
    """Write a certificate for this machine that is its own authority; what trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    addresses = [x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "tls.pem").write_bytes(pem)
    plain = serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "tls.key").write_bytes(text)
    return ssl.create_default_context(cadata=pem.decode("ascii"))
