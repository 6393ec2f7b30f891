"""What a user sees: seconds per step, signs of life, and errors with a remedy instead of tracebacks."""

import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from tests.cluster import hostpackages, leftovers, paths, steps, testbed
from tests.cluster.__main__ import main
from tests.cluster.errors import ClusterError
from tests.cluster.shell import eventually, exclusive, run
from tests.cluster.steps import Steps


def test_each_step_is_told_and_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    found = Steps()
    with found.step("one"):
        eventually(lambda: False, 0.1)
    found.taken.append(("two", 2.0))
    assert "s  one\n" in capsys.readouterr().err
    table = found.summary("up: seconds per step").splitlines()
    assert table[1] == "up: seconds per step"
    assert table[2].endswith("s  one")
    assert table[3] == "     2.0 s  two"
    assert table[4].endswith("s  in all")


def test_long_step_shows_that_it_lives(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "SIGN_OF_LIFE_SECONDS", 0.01)
    said: list[str] = []

    def shown() -> bool:
        said.append(capsys.readouterr().err)
        return "build kubelet" in "".join(said)

    with Steps().step("build kubelet"):
        assert eventually(shown, 20)
    assert "so far" in "".join(said)


def test_failed_step_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ClusterError), Steps().step("one"):
        raise ClusterError("no")
    assert "one: FAILED" in capsys.readouterr().err


def test_failed_command_shows_its_last_words() -> None:
    with pytest.raises(ClusterError) as caught:
        run(["sh", "-c", "seq 100; echo broken >&2; exit 3"], remedy="mend it")
    said = str(caught.value)
    assert "ended with 3" in said
    assert "broken" in said
    assert "\n    50\n" not in said
    assert said.endswith("What would help: mend it")


def test_command_line_has_no_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWRIGHT_CLUSTER", "minikube")
    assert main(["up"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: RUNWRIGHT_CLUSTER=minikube is none of")
    assert "What would help" in said


def test_kubeconfig_that_does_not_exist(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RUNWRIGHT_CLUSTER", "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    assert main(["up"]) == 1
    assert "names no file that exists" in capsys.readouterr().err


def test_nothing_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "BUILD", tmp_path)
    with pytest.raises(ClusterError, match=r"no cluster is up\n  What would help: .*make cluster-up"):
        testbed.current()


def test_exported_kubeconfig_of_ours_is_not_taken_for_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "BUILD", tmp_path)
    monkeypatch.delenv("RUNWRIGHT_CLUSTER", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClusterError, match="KUBECONFIG is not set"):
        testbed.open_provider()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "the users"))
    assert testbed.open_provider().name == "kubeconfig"


def test_running_cluster_is_stopped_by_who_started_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "BUILD", tmp_path)
    monkeypatch.delenv("RUNWRIGHT_CLUSTER", raising=False)
    monkeypatch.setenv("KUBECONFIG", "/the/users")
    written = {"provider": "bare", "kubeconfig": "k", "node": "n", "bin": {"kubectl": "k", "helm": "h"}}
    (tmp_path / "cluster.json").write_text(json.dumps(written))
    assert testbed.open_provider(running=True).name == "bare"
    assert testbed.open_provider().name == "kubeconfig"
    monkeypatch.setenv("RUNWRIGHT_CLUSTER", "kubeconfig")
    assert testbed.open_provider(running=True).name == "kubeconfig"


def test_unknown_image_lists_the_known() -> None:
    with pytest.raises(ClusterError, match=r"no image nginx\n.*the images are postgresql, object-store"):
        testbed.select(["nginx"])


def test_without_apt_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(hostpackages, "_SYSTEM_PATH", "")
    with pytest.raises(ClusterError, match=r"no apt-get to install them: runc, .*buildah"):
        hostpackages.install(Steps())


def test_second_command_waits_for_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    entered = threading.Event()

    def second() -> None:
        with exclusive(lock):
            entered.set()

    thread = threading.Thread(target=second)
    with exclusive(lock):
        thread.start()
        assert not entered.wait(0.2)
    thread.join(20)
    assert entered.is_set()


@pytest.mark.skipif(not Path("/proc/self/exe").exists(), reason="reads Linux's /proc")
def test_only_the_testbeds_own_programs_are_taken_for_the_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = paths.binaries() / "etcd-0123456789ab"
    program.parent.mkdir(parents=True)
    shutil.copy("/bin/sh", program)
    waits = ["-c", "read line"]
    ours = subprocess.Popen([program, *waits, str(leftovers.node_directory())], stdin=subprocess.PIPE)
    elsewhere = subprocess.Popen([program, *waits, "/some/other/folder"], stdin=subprocess.PIPE)
    editor = subprocess.Popen(["/bin/sh", *waits, str(leftovers.node_directory())], stdin=subprocess.PIPE)
    try:
        assert leftovers.processes() == (ours.pid,)
    finally:
        for process in (ours, elsewhere, editor):
            process.communicate()
