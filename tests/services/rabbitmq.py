"""A private RabbitMQ broker, from the system's package, on free loopback ports of its own."""

from __future__ import annotations

import base64
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.services.ports import free_ports

_START_SECONDS = 90.0  # five on an idle machine
_STOP_SECONDS = 30.0
_CALL_SECONDS = 15.0
_LOG_LINES = 25
_AMQP_HEADER = b"AMQP\x00\x00\x09\x01"
_NORMAL_WATERMARK, _TINY_WATERMARK = 0.4, 0.00000001
_ACTOR = '<<"tests">>'  # who did it, for the broker's log


class RabbitServer:
    """Started in a temporary directory, as the user ``rabbitmq`` where the tests run as root.

    ``config`` has more lines for rabbitmq.conf, ``advanced`` is the text of an advanced.config.
    Ports and data stay the same from the first ``start`` to ``stop``. Every method blocks until what
    it does is done, and raises RuntimeError with the end of the broker's log when it cannot be done.
    """

    def __init__(self, *, config: Mapping[str, object] | None = None, advanced: str | None = None) -> None:
        self._script = _find_script()
        self._account = _find_account()
        self.port, self._distribution_port, self._mapper_port = free_ports(3)
        self.directory = Path(tempfile.mkdtemp(prefix="llmgate-mq-"))
        self._cookie = secrets.token_hex(16)
        self._environment = self._make_environment()
        self._broker: subprocess.Popen[bytes] | None = None
        self._mapper: subprocess.Popen[bytes] | None = None
        self._write_files(config or {}, advanced)

    def start(self) -> None:
        """Returns when the broker answers AMQP."""
        if self._mapper is None:
            # Erlang would start one that outlives the broker and listens on every interface.
            self._mapper = self._spawn("epmd", "-address", "127.0.0.1", "-port", str(self._mapper_port))
            self._wait(lambda: _accepts(self._mapper_port), self._mapper, _STOP_SECONDS)
        self._broker = self._spawn(str(self._script), "-noinput", *self._arguments())
        self._wait(lambda: _answers(self.port), self._broker, _START_SECONDS)

    def stop(self) -> None:
        """At once, without a goodbye, and with everything that it stored."""
        for process in (self._broker, self._mapper):
            if process is not None:
                process.kill()
                process.wait(_STOP_SECONDS)
        self._broker = self._mapper = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """As a crash does: ``start`` continues with what is on the disk.

        A queue, an exchange or a vhost of the last three seconds may be missing there, although the broker
        has confirmed it and durable messages in it; see ``sync``.
        """
        broker = self._running()
        broker.kill()
        broker.wait(_STOP_SECONDS)

    def restart(self) -> None:
        """As an operator does: connections are closed with a reason, everything durable is stored."""
        broker = self._running()
        broker.terminate()
        try:
            broker.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise self._failure(f"the broker did not stop in {_STOP_SECONDS:g} s") from None
        self.start()

    def freeze(self) -> None:
        """Connections stay open and new ones are accepted by the kernel, but nothing is answered."""
        broker = self._running()
        broker.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, broker.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def alarm(self, on: bool) -> None:
        """The memory alarm: while it is on, the broker reads nothing from connections that publish."""
        watermark = _TINY_WATERMARK if on else _NORMAL_WATERMARK
        self.eval(f"vm_memory_monitor:set_vm_memory_high_watermark({watermark:.8f}), true")
        active = "lists:keymember({resource_limit, memory, node()}, 1, rabbit_alarm:get_alarms())"
        self._wait(lambda: self.eval(active) is on, self._running(), _CALL_SECONDS)

    def sync(self) -> None:
        """Write to the disk which queues, exchanges and vhosts there are; the broker does it with a delay."""
        self.eval("mnesia:sync_log(), true")

    def add_vhost(self, name: str) -> None:
        """With all permissions for ``guest``."""
        permit = _permit(_binary("guest"), _binary(name), ".*", ".*", ".*")
        self.eval(f"rabbit_vhost:add({_binary(name)}, {_ACTOR}), {permit}, true")

    def delete_vhost(self, name: str) -> None:
        """With everything in it; its connections are closed."""
        self.eval(f"rabbit_vhost:delete({_binary(name)}, {_ACTOR}), true")

    def add_user(self, name: str, password: str) -> None:
        self.eval(f"rabbit_auth_backend_internal:add_user({_binary(name)}, {_binary(password)}, {_ACTOR}), true")

    def set_permissions(self, user: str, vhost: str, configure: str, write: str, read: str) -> None:
        self.eval(f"{_permit(_binary(user), _binary(vhost), configure, write, read)}, true")

    def queues(self, vhost: str = "/") -> dict[str, int]:
        """Queue name -> messages in it, ready and unacknowledged."""
        infos = f"rabbit_amqqueue:info_all({_binary(vhost)}, [name, messages])"
        found = self.eval(f"[[element(4, Name), Count] || [{{name, Name}}, {{messages, Count}}] <- {infos}]")
        return dict(found)

    def exchanges(self, vhost: str = "/") -> dict[str, str]:
        """Exchange name -> type, without those that every vhost has."""
        infos = f"rabbit_exchange:info_all({_binary(vhost)}, [name, type])"
        found = self.eval(f"[[element(4, Name), Type] || [{{name, Name}}, {{type, Type}}] <- {infos}]")
        return {name: kind for name, kind in found if name and not name.startswith("amq.")}

    def url(self, vhost: str = "/", user: str = "guest", password: str = "guest") -> str:  # noqa: S107
        user, password, vhost = (quote(part, safe="") for part in (user, password, vhost))
        return f"amqp://{user}:{password}@127.0.0.1:{self.port}/{vhost}"

    def eval(self, code: str) -> Any:
        """Run Erlang expressions inside the broker; the last one's value comes back by way of JSON.

        A call costs some milliseconds, where rabbitmqctl costs more than a second.
        """
        text = 'iolist_to_binary(io_lib:format("~tp", [{R, S}]))'
        guarded = f"try #{{ok => begin {code} end}} catch _:R:S -> #{{error => {text}}} end"
        expression = f'io:format("~s", [base64:encode(iolist_to_binary(rabbit_json:encode({guarded})))]).\n'
        try:
            reply = json.loads(base64.b64decode(self._call(expression), validate=True))
        except (subprocess.SubprocessError, ValueError) as error:
            raise self._failure(f"{code} failed: {error}") from None
        if "ok" not in reply:
            raise self._failure(f"{code} failed: {reply['error']}")
        return reply["ok"]

    def _call(self, expression: str) -> bytes:
        """What the expression prints."""
        # Each call joins as a node with a name of its own: of two with one name, the broker drops one.
        name = f"call-{secrets.token_hex(8)}"
        node = ("-address", f"127.0.0.1:{self._distribution_port}", "-c", self._cookie, "-h", name)
        return subprocess.run(
            ["erl_call", *node, "-e", "-fetch_stdout", "-no_result_term"],
            input=expression.encode(),
            capture_output=True,
            timeout=_CALL_SECONDS,
            check=True,
            env=self._environment,
        ).stdout

    def _arguments(self) -> list[str]:
        # Not in rabbitmq.conf: a broker without that file starts half a second earlier.
        return [
            *("-kernel", "inet_dist_use_interface", "{127,0,0,1}"),
            *("-rabbit", "disk_free_limit", "1000000"),  # the alarms of a test are those that it asks for
        ]

    def _make_environment(self) -> dict[str, str]:
        """Nothing of ours is inherited, and nothing below /etc/rabbitmq or /var/lib/rabbitmq is used."""
        files = {
            "HOME": "",
            "RABBITMQ_MNESIA_BASE": "data",
            "RABBITMQ_LOG_BASE": "logs",
            "RABBITMQ_ENABLED_PLUGINS_FILE": "plugins",
            "RABBITMQ_CONFIG_FILE": "rabbitmq.conf",
            "RABBITMQ_CONFIG_FILES": "conf.d",
            "RABBITMQ_ADVANCED_CONFIG_FILE": "advanced.config",
        }
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_NODENAME": f"llmgate-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_LOGS": "-",
            # The script then becomes the broker, instead of waiting for it: its pid is the one to signal.
            "RABBITMQ_ALLOW_INPUT": "1",
            **{name: str(self.directory / file) for name, file in files.items()},
        }

    def _write_files(self, config: Mapping[str, object], advanced: str | None) -> None:
        (self.directory / "conf.d").mkdir()
        files = {".erlang.cookie": self._cookie, "plugins": "[].\n"}
        if config:
            files["rabbitmq.conf"] = "".join(f"{key} = {value}\n" for key, value in config.items())
        if advanced:
            files["advanced.config"] = advanced
        for name, text in files.items():
            (self.directory / name).write_text(text, encoding="utf-8")
        (self.directory / ".erlang.cookie").chmod(0o400)
        if self._account:
            for path in (self.directory, *self.directory.iterdir()):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        account = self._account
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd="/",
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # an interrupt from the keyboard is for pytest alone
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )

    def _running(self) -> subprocess.Popen[bytes]:
        if self._broker is None or self._broker.poll() is not None:
            raise self._failure("the broker is not running")
        return self._broker

    def _wait(self, ready: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if process.poll() is not None:
                raise self._failure(f"{process.args!r} ended with status {process.returncode}")
            if time.monotonic() > deadline:
                raise self._failure(f"{process.args!r} was not ready in {seconds:g} s")
            time.sleep(0.02)

    def _failure(self, reason: str) -> RuntimeError:
        log = self.directory / "log"
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        return RuntimeError("\n".join([f"RabbitMQ: {reason}", *lines[-_LOG_LINES:]]))


def _find_script() -> Path:
    candidates = Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server")
    found = sorted(candidates, key=lambda path: [int(part) for part in path.parts[-3].split("-")[1].split(".")])
    if not found:
        raise RuntimeError("RabbitMQ is not installed. Run: sh tests/services/install.sh")
    return found[-1]


def _find_account() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("rabbitmq")
    except KeyError:
        return None


def _binary(text: str) -> str:
    """An Erlang binary, whatever the text has in it."""
    return f"<<{','.join(map(str, text.encode()))}>>"


def _permit(user: str, vhost: str, configure: str, write: str, read: str) -> str:
    patterns = ", ".join(map(_binary, (configure, write, read)))
    return f"rabbit_auth_backend_internal:set_permissions({user}, {vhost}, {patterns}, {_ACTOR})"


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5.0) as connection:
            connection.sendall(_AMQP_HEADER)
            return connection.recv(1) == b"\x01"  # a method frame: Connection.Start
    except OSError:
        return False
