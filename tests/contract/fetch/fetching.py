"""Running the fetch as its init container does: one process, files for credentials, exit code and message."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runwright.inpod.fetch.job import FetchJob
from tests.cluster.shell import eventually

_AMBIENT = re.compile(r"^(AWS_|GIT_|RUNWRIGHT_)|_proxy$", re.IGNORECASE)
CLEAN = {name: value for name, value in os.environ.items() if not _AMBIENT.search(name)}


@dataclass
class Outcome:
    """What a fetch came to."""

    code: int
    log: str
    message: dict[str, Any]

    @property
    def error(self) -> dict[str, Any]:
        assert "error" in self.message, self.log
        return dict(self.message["error"])


@dataclass
class Pod:
    """A pod's volumes."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(CLEAN))
    wrapper: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for folder in (self.workspace, self.tmp):
            folder.mkdir(parents=True)

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def result(self) -> Path:
        return self.root / "shared" / "fetch.json"

    @property
    def termination(self) -> Path:
        return self.root / "termination-log"

    def secret(self, name: str, keys: Mapping[str, str]) -> str:
        folder = self.root / "secrets" / name
        folder.mkdir(parents=True)
        for key, value in keys.items():
            (folder / key).write_text(value)
        return str(folder)

    def job(self, **fields: Any) -> FetchJob:
        paths = {
            "workspace": str(self.workspace),
            "termination_message_path": str(self.termination),
            "result_file": str(self.result),
            "retry_seconds": 20,
        }
        return FetchJob.model_validate({**paths, **fields})

    def start(self, job: FetchJob | str, **environment: str) -> subprocess.Popen[bytes]:
        self.termination.unlink(missing_ok=True)
        self.termination.touch()
        self.termination.chmod(0o666)  # as the kubelet makes it
        text = job if isinstance(job, str) else job.to_json()
        log = (self.root / "log").open("wb")
        with log:
            return subprocess.Popen(
                [*self.wrapper, sys.executable, "-m", "runwright.inpod.fetch"],
                env={**self.environment, "RUNWRIGHT_FETCH_JOB": text, "TMPDIR": str(self.tmp), **environment},
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return (self.root / "log").read_text(errors="replace")

    def end(self, process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> Outcome:
        process.send_signal(number)
        return self.outcome(process)

    def outcome(self, process: subprocess.Popen[bytes], seconds: float = 180) -> Outcome:
        process.wait(seconds)
        written = self.termination.read_bytes()
        assert len(written) <= 4096
        assert "Traceback" not in self.log
        return Outcome(process.returncode, self.log, json.loads(written or b"{}"))

    def fetch(self, job: FetchJob | str, **environment: str) -> Outcome:
        return self.outcome(self.start(job, **environment))

    def wait_for(self, text: str, seconds: float = 60) -> None:
        assert eventually(lambda: text in self.log, seconds), self.log

    def files(self, root: Path | None = None) -> Mapping[str, bytes]:
        """Return the files below the workspace, or another folder, by relative path."""
        base = root or self.workspace
        return {str(path.relative_to(base)): path.read_bytes() for path in sorted(base.rglob("*")) if path.is_file()}

    def traces(self, secret: str) -> list[Path]:
        """Return the files of the pod, but for the mounted Secrets, that hold a secret."""
        found = [p for p in self.root.rglob("*") if p.is_file() and not p.is_relative_to(self.root / "secrets")]
        return [path for path in found if secret.encode() in path.read_bytes()]
