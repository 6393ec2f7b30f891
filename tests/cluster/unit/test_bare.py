"""The bare node from start to stop, and after a crash: a second one, in a network namespace of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import buildah, golang, paths
from tests.cluster.errors import ClusterError
from tests.cluster.provider import choose, inspect_machine
from tests.cluster.shell import eventually, run, wait_until

pytestmark = pytest.mark.e2e
NAME = "rw-second"
SECONDS = 120.0


def why_not() -> str:
    try:
        choose({"RUNWRIGHT_CLUSTER": "bare"}, inspect_machine())
    except ClusterError as error:
        return error.message
    return ""


@dataclass(frozen=True)
class Second:
    """The second node."""

    def inside(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run(["nsenter", f"--net=/run/netns/{NAME}", *words], check=check, env={"RUNWRIGHT_TESTBED": NAME})

    def do(self, command: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.inside(sys.executable, "-m", "tests.cluster.unit.second_node", command, check=check)

    def kubectl(self, *words: str, check: bool = True) -> str:
        kubeconfig = paths.cache() / f"state-{NAME}" / "node" / "control-plane" / "admin.kubeconfig"
        program = golang.ensure(["kubectl"])["kubectl"]
        return self.inside(program, "--kubeconfig", kubeconfig, *words, check=check).stdout

    def pod(self, name: str, script: str, **spec: Any) -> None:
        """Create a pod of the base image that the restricted profile admits."""
        container = {
            "name": "main",
            "image": buildah.BASE,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", script],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            **spec.pop("container", {}),
        }
        security = {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        body = {"restartPolicy": "Never", "securityContext": security, "containers": [container], **spec}
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body})

    def apply(self, *objects: dict[str, Any]) -> None:
        words = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        kubeconfig = paths.cache() / f"state-{NAME}" / "node" / "control-plane" / "admin.kubeconfig"
        program = golang.ensure(["kubectl"])["kubectl"]
        run(
            ["nsenter", f"--net=/run/netns/{NAME}", program, "--kubeconfig", kubeconfig, "apply", "-f", "-"],
            stdin=words,
        )

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def wait_phase(self, name: str, *phases: str) -> None:
        wait_until(lambda: self.get("pod", name)["status"].get("phase") in phases, SECONDS, f"{name}: {phases}")

    def left(self) -> str:
        return self.do("left").stdout.strip()


@pytest.fixture(scope="module")
def second() -> Iterator[Second]:
    if reason := why_not():
        pytest.skip(reason)
    if Path(f"/run/netns/{NAME}").exists():  # an interrupted run left it
        Second().do("down", check=False)
        run(["ip", "netns", "delete", NAME], check=False)
    run(["ip", "netns", "add", NAME])
    found = Second()
    try:
        found.inside("ip", "link", "set", "lo", "up")
        yield found
    finally:
        found.do("down", check=False)
        run(["ip", "netns", "delete", NAME])
        run(["rm", "-rf", str(paths.cache() / f"state-{NAME}"), f"/run/{NAME}"])


@pytest.fixture
def running(second: Second) -> Second:
    second.do("up")
    run_as_default_account = ("get", "serviceaccount", "default")
    assert eventually(lambda: "default" in second.kubectl(*run_as_default_account, check=False), SECONDS)
    second.kubectl("label", "namespace", "default", "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    return second


def test_pods_run_as_on_any_cluster(running: Second) -> None:
    running.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
    )
    running.pod(
        "ok",
        "getent hosts kubernetes.default.svc.cluster.local && echo kept > /data/file && stat -c %g /data && sleep 600",
        volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        container={"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
    )
    running.pod(
        "greedy",
        "head -c 400m /dev/zero | tail -c 399m > /dev/null",
        container={"resources": {"limits": {"memory": "100Mi"}}},
    )
    running.pod("fails", "echo last words; exit 3")

    running.wait_phase("ok", "Running")
    assert eventually(lambda: "1000" in running.kubectl("logs", "ok").splitlines(), SECONDS)
    assert "10.96.0.1" in running.kubectl("logs", "ok")
    assert running.kubectl("exec", "ok", "--", "cat", "/data/file") == "kept\n"

    running.wait_phase("fails", "Failed")
    terminated = running.get("pod", "fails")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert terminated["exitCode"] == 3
    assert running.kubectl("logs", "fails") == "last words\n"

    running.wait_phase("greedy", "Failed")
    terminated = running.get("pod", "greedy")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (terminated["reason"], terminated["exitCode"]) == ("OOMKilled", 137)

    volume = running.get("pvc", "data")["spec"]["volumeName"]
    folder = Path(running.get("pv", volume)["spec"]["local"]["path"])
    assert (folder / "file").read_text() == "kept\n"
    running.kubectl("delete", "pod", "ok", "--grace-period=1")
    running.kubectl("delete", "pvc", "data")
    assert eventually(lambda: not folder.exists(), SECONDS)


def test_second_start_changes_nothing(running: Second) -> None:
    pids = sorted(path.read_text() for path in (paths.cache() / f"state-{NAME}").rglob("*.pid"))
    assert len(pids) >= 8
    running.do("up")
    assert sorted(path.read_text() for path in (paths.cache() / f"state-{NAME}").rglob("*.pid")) == pids


def test_start_after_a_crash(running: Second) -> None:
    running.pod("before", "trap '' TERM; sleep 600 & wait")
    running.wait_phase("before", "Running")
    assert "killed" in running.do("crash").stdout
    left = running.left()
    assert "pod process" in left
    assert "mount" in left

    running.do("up")
    assert "before" not in running.kubectl("get", "pods", "-o", "name")
    assert eventually(lambda: "default" in running.kubectl("get", "serviceaccount", "default", check=False), SECONDS)
    running.pod("after", "echo runs")
    running.wait_phase("after", "Succeeded")


@pytest.mark.parametrize("reached", ["run/containerd.pid", "control-plane/run/kube-apiserver.pid", "run/kubelet.pid"])
def test_start_after_an_interrupted_start(second: Second, reached: str) -> None:
    second.do("down")
    file = paths.cache() / f"state-{NAME}" / "node" / reached
    words = ["nsenter", f"--net=/run/netns/{NAME}", sys.executable, "-m", "tests.cluster.unit.second_node", "up"]
    interrupted = subprocess.Popen(
        words, env={**os.environ, "RUNWRIGHT_TESTBED": NAME}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert eventually(file.exists, SECONDS)
    interrupted.kill()
    interrupted.wait()
    second.do("up")
    assert "testbed" in second.kubectl("get", "nodes")


def test_stop_leaves_nothing(running: Second) -> None:
    running.pod("stubborn", "trap '' TERM; while :; do sleep 600; done")
    running.wait_phase("stubborn", "Running")
    running.do("down")
    assert running.left() == ""
    assert NAME not in Path("/proc/self/mountinfo").read_text().replace(f"/run/netns/{NAME}", "")
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{NAME}"))
    assert not list(Path("/var/lib/cni").glob(f"**/{NAME}*"))
    links = json.loads(running.inside("ip", "-json", "link").stdout)
    assert [link["ifname"] for link in links if link["ifname"] not in {"lo", "sit0", "tunl0"}] == []
    assert running.inside("nft", "list", "tables").stdout == ""
    state = paths.cache() / f"state-{NAME}"
    assert sorted(path.name for path in state.iterdir()) == ["containerd", "loaded.json"]


def test_stop_after_a_crash_leaves_nothing(running: Second) -> None:
    running.pod("before", "sleep 600")
    running.wait_phase("before", "Running")
    running.do("crash")
    running.do("down")
    assert running.left() == ""


def test_taken_port_is_named_with_its_holder(second: Second) -> None:
    second.do("down")
    code = "import socket; s = socket.create_server(('127.0.0.1', 6443)); print('listens', flush=True); s.accept()"
    words = ["nsenter", f"--net=/run/netns/{NAME}", sys.executable, "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "listens\n"
        refused = second.do("up", check=False)
        holder.kill()
    assert refused.returncode == 1
    assert "the node needs the TCP ports 6443 and 10250" in refused.stderr
    assert f"pid={holder.pid}" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert second.left() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="user namespaces are Linux's")
def test_without_root_it_says_so() -> None:
    refused = subprocess.run(
        ["unshare", "--user", sys.executable, "-m", "tests.cluster", "up"],
        env={**os.environ, "RUNWRIGHT_CLUSTER": "bare"},
        cwd=paths.REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 1
    assert "it needs root" in refused.stderr
    assert "Traceback" not in refused.stderr
