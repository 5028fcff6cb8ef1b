"""PostgreSQL and RabbitMQ for the tests: what answers already, or servers of the tests' own.

Reads: `SLOWPOST_TEST_POSTGRES` (a superuser's URL) and `SLOWPOST_TEST_RABBITMQ` (the URLs, separated by commas, of
vhosts that are only for tests; one for each process that runs tests). Where they are not set, the servers at the usual
ports of this machine are used if they give the rights the tests need; otherwise private ones are started, on free ports
of the loopback interface, with their data in temporary directories, and stopped at the end by their process ids.
Trouble: a server that can't be had raises; a test that needs one fails, it is never skipped.

`python -m tests.servers` prints the Debian packages whose programs are missing; `script/test` installs them.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self
from urllib.parse import quote

import pika
import psycopg2
from pika.exceptions import AMQPError

POSTGRES_VARIABLE = "SLOWPOST_TEST_POSTGRES"
RABBITMQ_VARIABLE = "SLOWPOST_TEST_RABBITMQ"
POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"
RABBITMQ = "amqp://guest:guest@127.0.0.1:5672"

#: Seconds in which a server has to be ready, or gone, on a machine that has other work.
PATIENCE = 180
#: Which process this is of those that run the tests side by side, and how many there are.
PROCESS, PROCESSES = (
    int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")),
    int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
)
#: A server that ends while it starts is launched so often: its port was taken, or its predecessor lingers.
LAUNCHES = 5


class ServerError(Exception):
    """A server can't be had; the message says which and why."""


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Yield the URL of a PostgreSQL superuser."""
    if url := os.environ.get(POSTGRES_VARIABLE):
        yield url
    elif _is_superuser(POSTGRES):
        yield POSTGRES
    else:
        # As durable as any server, or `slowpost doctor` would have something to say of it.
        with PrivatePostgres(fsync=True) as server:
            yield server.url


@contextlib.contextmanager
def rabbitmq(vhosts: int = 1) -> Iterator[list[str]]:
    """Yield the AMQP URLs of so many vhosts for this run, or of those that are named for it."""
    if urls := os.environ.get(RABBITMQ_VARIABLE):
        yield urls.split(",")
        return
    names = [f"slowpost_test_{os.getpid()}_{number}" for number in range(vhosts)]
    if not (_accepts_amqp(RABBITMQ) and _add_vhosts(names)):
        with PrivateRabbitmq() as server:
            server.add_vhosts(*names)
            yield [server.url_of(name) for name in names]
        return
    try:
        yield [f"{RABBITMQ}/{name}" for name in names]
    finally:
        _delete_vhosts(names)


def most_vhosts() -> float:
    """Return how many vhosts there can be."""
    urls = os.environ.get(RABBITMQ_VARIABLE)
    return len(urls.split(",")) if urls else math.inf


class PrivateServer(ABC):
    """A server that belongs to a test: stopped, killed and started again, it keeps its data.

    As a context manager it is started (unless `starts_at_once` is false), and at the end stopped and its data thrown
    away.

    Attributes:
        url: where clients connect; the same over restarts.
        port: its TCP port on 127.0.0.1.
        pid: its process, while it runs.
    """

    #: The account that runs it when the tests are root's.
    user = "nobody"
    #: Asks for an orderly end that doesn't wait for clients.
    stop_signal = signal.SIGTERM
    url: str
    starts_at_once = True

    def __init__(self) -> None:
        # As root in /tmp itself: root's TMPDIR may be closed to the account that runs the server.
        parent = "/tmp" if os.geteuid() == 0 else None  # noqa: S108  (a directory of its own is made there)
        self._directory = tempfile.TemporaryDirectory(
            prefix=f"slowpost-{self.user}-", dir=parent, ignore_cleanup_errors=True
        )
        self.home = Path(self._directory.name)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self.home / "log"
        if os.geteuid() == 0:
            os.chown(self.home, *ids(self.user))

    def __enter__(self) -> Self:
        try:
            self._prepare()
            if self.starts_at_once:
                self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._directory.cleanup()

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What it has printed since it was made."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it takes connections.

        Raises:
            ServerError: it doesn't; with the end of its log.
        """
        deadline = time.monotonic() + PATIENCE
        for _ in range(LAUNCHES):
            self._process = self._launch(self._command())
            while self._process.poll() is None and time.monotonic() < deadline:
                if self.is_ready():
                    return
                time.sleep(0.05)
        self.kill()
        raise ServerError(f"{type(self).__name__} did not start: {self.log[-2000:]}")

    def stop(self) -> None:
        """End it in good order; nothing to do if it has ended."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End it with SIGKILL, as the kernel does when memory runs out."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it again, with the same data and port."""
        self.stop()
        self.start()

    def _end(self, with_signal: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(with_signal)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _launch(self, command: list[str]) -> subprocess.Popen[bytes]:
        # setpriv also sees to it that the server ends when the tests are killed and can't end it.
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*self._as_user(), "--pdeathsig", self.stop_signal.name, *command],
                cwd=self.home,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _run(self, *command: str, stdin: str = "") -> str:
        done = subprocess.run(
            [*self._as_user(), *command],
            cwd=self.home,
            env=self._environment(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if done.returncode:
            raise ServerError(f"{' '.join(command)} failed: {done.stdout}{done.stderr}")
        return done.stdout

    def _as_user(self) -> list[str]:
        if os.geteuid() != 0:
            return ["setpriv"]
        uid, gid = ids(self.user)
        return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]

    def _environment(self) -> dict[str, str]:
        return os.environ | {"HOME": str(self.home)}

    @abstractmethod
    def _prepare(self) -> None:
        """Write what it needs before its first start."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command that is the server, in the foreground."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Tell whether it takes connections."""


class PrivatePostgres(PrivateServer):
    """A PostgreSQL cluster; anyone on the loopback interface is its superuser `postgres`."""

    user = "postgres"
    stop_signal = signal.SIGINT

    def __init__(self, *, fsync: bool = False) -> None:
        super().__init__()
        self._fsync = fsync
        self._programs = _postgres_programs()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def _prepare(self) -> None:
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync"]
        self._run(str(self._programs / "initdb"), f"--pgdata={self.home}/data", *options)

    def _command(self) -> list[str]:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            # What a dead process has written stays written; only a dead machine would need fsync.
            "fsync": "on" if self._fsync else "off",
        }
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", f"{self.home}/data", *arguments]

    def is_ready(self) -> bool:
        return _is_superuser(self.url)


class PrivateRabbitmq(PrivateServer):
    """A RabbitMQ node with an Erlang port mapper of its own (of its cluster's first node), one user, and one vhost.

    Attributes:
        name: its Erlang node name.

    Args:
        joins: a running node whose cluster it becomes a member of at its first start.
        starts_at_once: at the beginning of `with`; else when `start` is called.
        login: name and password of the user that it makes, as docker-compose.yml gives them.
        conf: lines of a `rabbitmq.conf`, beside its own.
    """

    user = "rabbitmq"

    def __init__(
        self,
        *,
        joins: PrivateRabbitmq | None = None,
        starts_at_once: bool = True,
        login: tuple[str, str] = ("guest", "guest"),
        conf: str = "",
    ) -> None:
        super().__init__()
        self._login = login
        self._conf = conf
        self.starts_at_once = starts_at_once
        self._programs = _rabbitmq_programs()
        self._erlang = _directory_of("erl_call", "usr/lib/erlang/erts-*/bin", "erlang-base")
        self._plugins = (self._programs / "rabbitmq-server").resolve().parents[1] / "plugins"
        self._joins = joins
        self._cookie: str = joins._cookie if joins else secrets.token_hex(16)
        self._epmd_port: int = joins._epmd_port if joins else free_port()
        self._dist_port = free_port()
        self._epmd: subprocess.Popen[bytes] | None = None
        # An IP address for a host name: a machine may have none that resolves.
        self.name = f"slowpost_test_{self.port}@127.0.0.1"
        self.url = self.url_of("slowpost_test")

    def url_of(self, vhost: str) -> str:
        """Return the URL of one of its vhosts."""
        name, password = (quote(part, safe="") for part in self._login)
        return f"amqp://{name}:{password}@127.0.0.1:{self.port}/{vhost}"

    def ctl(self, *arguments: str, stdin: str = "") -> str:
        """Run rabbitmqctl on this node; return what it printed.

        Raises:
            ServerError: it failed; with what it said.
        """
        return self._run(str(self._programs / "rabbitmqctl"), *arguments, stdin=stdin)

    def evaluate(self, expressions: str) -> str:
        """Let the node evaluate Erlang; return the value of the last expression. It costs a hundredth of a `ctl`.

        Raises:
            ServerError: it failed; with what it said.
        """
        said = self._run(str(self._erlang / "erl_call"), "-n", self.name, "-e", stdin=f"{expressions}\n")
        if not said.startswith("{ok, "):
            raise ServerError(f"{expressions} failed: {said}")
        return said.removeprefix("{ok, ").removesuffix("}")

    def add_vhosts(self, *names: str) -> None:
        """Add vhosts for `guest`."""
        self.ctl("import_definitions", stdin=_definitions(names))

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises ServerError if it doesn't."""
        if self._epmd is None and self._joins is None:
            self._epmd = self._launch(["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"])
        super().start()

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process, self._epmd = self._epmd, None
        super().__exit__()

    def _prepare(self) -> None:
        (self.home / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\ndefault_vhost = slowpost_test\n{self._peers()}{self._conf}"
        )
        (self.home / "enabled_plugins").write_text("[].\n")
        # A node looks for each of its 700 modules in every plugin that it could have: this one starts in half the time.
        (self.home / "plugins").mkdir()
        for itself in self._plugins.glob("rabbit-*"):
            (self.home / "plugins" / itself.name).symlink_to(itself)
        cookie = self.home / ".erlang.cookie"
        cookie.write_text(self._cookie)
        cookie.chmod(0o400)
        if os.geteuid() == 0:
            os.chown(cookie, *ids(self.user))

    def _peers(self) -> str:
        """Return the lines by which a node without data joins a cluster."""
        if self._joins is None:
            return ""
        nodes = enumerate((self._joins.name, self.name), 1)
        return "cluster_formation.peer_discovery_backend = classic_config\n" + "".join(
            f"cluster_formation.classic_config.nodes.{number} = {name}\n" for number, name in nodes
        )

    def _modules(self) -> str:
        """Return the arguments by which Erlang looks first where most modules are: of these, first in the last."""
        libraries = (self._erlang.parents[1] / "lib").glob("*/ebin")
        own = (folder for name in ("ra", "rabbit_common", "rabbit") for folder in self._plugins.glob(f"{name}-*/ebin"))
        return " ".join(f"-pa {folder}" for folder in (*libraries, *own))

    def _command(self) -> list[str]:
        # A new one at each start: while the node was down, another's connection may have taken the last.
        self._dist_port = free_port()
        return [str(self._programs / "rabbitmq-server")]

    def is_ready(self) -> bool:
        return _accepts_amqp(self.url)

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            # With one scheduler it starts with a tenth less of CPU time; more than it needs, it does not get.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"+S 1:1 -kernel inet_dist_use_interface {{127,0,0,1}} "
            f"{self._modules()}",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_DEFAULT_USER": self._login[0],
            "RABBITMQ_DEFAULT_PASS": self._login[1],
            # Else it takes a password beyond ASCII for another one, or does not start.
            "LC_ALL": "C",
            # Nothing of the machine's own node: not its settings, not its data.
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": f"{self.home}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self.home}/enabled_plugins",
            "RABBITMQ_PLUGINS_DIR": f"{self.home}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{self.home}/data",
            "RABBITMQ_LOG_BASE": f"{self.home}/logs",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{self.home}/config",
            "RABBITMQ_PID_FILE": f"{self.home}/pid",
            # As under systemd, the script becomes the node, so that its process id is the node's.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


def _postgres_programs() -> Path:
    return _directory_of("initdb", "usr/lib/postgresql/*/bin", "postgresql")


def _rabbitmq_programs() -> Path:
    # Debian's /usr/sbin/rabbitmq-server insists on root and on the machine's own directories.
    return _directory_of("rabbitmq-server", "usr/lib/rabbitmq/bin", "rabbitmq-server")


def _directory_of(program: str, pattern: str, package: str) -> Path:
    found = [str(path) for path in Path("/").glob(f"{pattern}/{program}")] or [shutil.which(program) or ""]
    if not any(found):
        raise ServerError(f"{program} is missing; script/test installs it, or: apt-get install {package}")
    return Path(max(found)).parent


def _is_superuser(url: str) -> bool:
    try:
        connection = psycopg2.connect(url, connect_timeout=5)
    except psycopg2.OperationalError:
        return False
    try:
        return connection.info.parameter_status("is_superuser") == "on"
    finally:
        connection.close()


def _accepts_amqp(url: str) -> bool:
    try:
        pika.BlockingConnection(pika.URLParameters(url)).close()
    except (AMQPError, OSError):
        return False
    return True


def _add_vhosts(names: list[str]) -> bool:
    if not _rabbitmqctl("import_definitions", stdin=_definitions(names)):
        return False
    # The node that rabbitmqctl speaks to need not be the one at the port.
    if all(_accepts_amqp(f"{RABBITMQ}/{name}") for name in names):
        return True
    _delete_vhosts(names)
    return False


def _delete_vhosts(names: list[str]) -> None:
    listed = ", ".join(f'<<"{name}">>' for name in names)
    _rabbitmqctl("eval", f'[rabbit_vhost:delete(V, <<"tests">>) || V <- [{listed}]].')


def _definitions(vhosts: Sequence[str]) -> str:
    """Return what makes vhosts for `guest`, at once: each rabbitmqctl takes half a second."""
    rights = dict.fromkeys(("configure", "write", "read"), ".*")
    permissions = [{"user": "guest", "vhost": name} | rights for name in vhosts]
    return json.dumps({"vhosts": [{"name": name} for name in vhosts], "permissions": permissions})


def _rabbitmqctl(*arguments: str, stdin: str = "") -> bool:
    if not shutil.which("rabbitmqctl"):
        return False
    command = ["rabbitmqctl", "--quiet", *arguments]
    return subprocess.run(command, capture_output=True, input=stdin.encode()).returncode == 0


def free_port() -> int:
    """Return a port of the loopback interface that nothing uses."""
    # Below the range from which outgoing connections get theirs: one of those could take it while the server is down.
    # Each process that runs tests has every so manieth: what one has found, and not yet bound, no other finds.
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = 10_000 + secrets.randbelow(20_000 // PROCESSES) * PROCESSES + PROCESS
            probe.bind(("127.0.0.1", port))
            return port


def ids(user: str) -> tuple[int, int]:
    """Return the ids of a user and of its group."""
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


def _missing_packages() -> Iterator[str]:
    for package, find in (("postgresql", _postgres_programs), ("rabbitmq-server", _rabbitmq_programs)):
        try:
            find()
        except ServerError:
            yield package


if __name__ == "__main__":
    print(*_missing_packages())  # noqa: T201
