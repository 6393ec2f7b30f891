"""A user's view of a cluster: kubectl as a process, and waiting for conditions instead of sleeping."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTER_FILE = ROOT / "build" / "cluster" / "cluster.json"
POLL_SECONDS = 0.25

T = TypeVar("T")


def wait_for(what: str, probe: Callable[[], T | None], timeout: float = 300.0) -> T:
    """Poll `probe` until it returns something true; the last thing seen is in the error.

    Raises:
        TimeoutError: it did not within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    seen: Any = None
    while time.monotonic() < deadline:
        seen = probe()
        if seen:
            return seen  # type: ignore[no-any-return]
        time.sleep(POLL_SECONDS)
    raise TimeoutError(f"{what}: not within {timeout:.0f} s; last seen {seen!r}")


def free_port() -> int:
    """A TCP port that is free on the loopback at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Kubectl:
    """The kubectl of the testbed with its administrator's kubeconfig."""

    program: str
    kubeconfig: str

    @classmethod
    def of_testbed(cls) -> "Kubectl":
        """The cluster that ``make cluster-up`` started.

        Raises:
            RuntimeError: there is none.
        """
        if not CLUSTER_FILE.exists():
            raise RuntimeError("no test cluster is up: run `make cluster-up` first")
        told = json.loads(CLUSTER_FILE.read_text())
        return cls(told.get("bin", {}).get("kubectl", "kubectl"), told["kubeconfig"])

    def run(self, *args: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run kubectl; its message is in the error."""
        done = subprocess.run(
            [self.program, "--kubeconfig", self.kubeconfig, *args],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"KUBECONFIG": self.kubeconfig},
        )
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done

    def __call__(self, *args: str) -> str:
        """Run kubectl and return what it prints."""
        return self.run(*args).stdout

    def apply(self, *objects: Any) -> str:
        """Apply manifests (dicts, or YAML text as a user has it)."""
        text = "\n---\n".join(o if isinstance(o, str) else yaml.safe_dump(o) for o in objects)
        return self.run("apply", "-f", "-", stdin=text).stdout

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        """Read one object; None when it is not there."""
        done = self.run("-n", namespace, "get", kind, name, "-o", "json", check=False)
        if done.returncode:
            if "NotFound" in done.stderr:
                return None
            raise RuntimeError(done.stderr.strip())
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def objects(self, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """Read the objects of a kind in a namespace."""
        extra = ["-l", selector] if selector else []
        answer = json.loads(self("-n", namespace, "get", kind, "-o", "json", *extra))
        items: list[dict[str, Any]] = answer["items"]
        return items

    @contextmanager
    def port_forward(self, namespace: str, target: str, port: int) -> Iterator[int]:
        """Forward a local port to a Service or pod for the block's duration."""
        local = free_port()
        command = [self.program, "--kubeconfig", self.kubeconfig, "-n", namespace]
        command += ["port-forward", target, f"{local}:{port}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            wait_for(f"port-forward to {target}", lambda: _accepts(local) or _gone(process), 90)
            yield local
        finally:
            process.terminate()
            process.wait()
            if process.stderr:
                process.stderr.close()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _gone(process: "subprocess.Popen[str]") -> bool:
    if process.poll() is not None:
        raise RuntimeError(process.stderr.read().strip() if process.stderr else "kubectl port-forward ended")
    return False
