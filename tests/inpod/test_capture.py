"""What a run needs to be repeated is recorded by node 0, beside the script, without its secrets."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.inpod.capture import WITH_VALUE, WITH_VALUES, environment_record, git, interpreter, python, variables
from tests.inpod.artifact_server import ArtifactServer
from tests.inpod.launched import Pod, until

pytestmark = pytest.mark.slow

FOLDER = "environment/attempt-1/"
NODE_0 = {"RUNWRIGHT_NODE": "0"}
SMI = Path(__file__).parent / "nvidia-smi.xml"
"""What is read of ``nvidia-smi -q -x``, by its published schema (nvsmi_device); the values are made up."""


# ---------------------------------------------------------------------------------------------------- beside the script


def test_node_0_stores_the_environment(tracked: Pod, server: ArtifactServer) -> None:
    launched = tracked.run(sys.executable, "-c", "pass", env={**NODE_0, "PARAM_lr": "0.1", "API_KEY": "hush"})
    assert launched.process.returncode == 0
    stored = json.loads(server.of_run(f"{FOLDER}node-0.json"))
    assert stored["command"] == [sys.executable, "-c", "pass"]
    assert stored["python"]["version"] == sys.version
    assert stored["variables"]["PARAM_lr"] == "0.1"
    assert "API_KEY" in stored["otherVariables"]
    assert "hush" not in json.dumps(stored)
    assert stored["cpu"]["count"] == os.cpu_count()
    assert stored["memory"]["total"] > 0
    assert stored["system"]["kernel"].startswith("Linux ")
    requirements = server.of_run(f"{FOLDER}requirements.txt").decode().splitlines()
    assert f"pytest=={metadata.version('pytest')}" in requirements
    assert len(requirements) == len(set(requirements)) > 50


def test_other_nodes_store_only_their_logs(tracked: Pod, server: ArtifactServer) -> None:
    tracked.run("true")
    assert [path.rsplit("artifacts/", 1)[1] for path in server.stored] == ["logs/attempt-1/node-1.log"]


def test_it_is_stored_while_the_script_runs(tracked: Pod, server: ArtifactServer) -> None:
    launched = tracked.start("sh", "-c", "while [ ! -e enough ]; do sleep 0.05; done", env=NODE_0)
    until(lambda: any(path.endswith("requirements.txt") for path in server.stored), "the environment")
    assert launched.process.poll() is None
    (tracked.folder / "enough").touch()
    assert launched.end() == 0
    assert json.loads(launched.message)["environment"] is True


def test_it_runs_at_idle_priority(tracked: Pod, server: ArtifactServer) -> None:
    server.answers = [0]
    launched = tracked.start("sleep", "1000", env=NODE_0)
    until(lambda: "PUT" in dict(server.requests), "the capture to have begun")
    captures = [pid for pid in _children(launched.pid) if b"--capture" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert [os.sched_getscheduler(pid) for pid in captures] == [os.SCHED_IDLE]
    assert os.getsid(captures[0]) == captures[0]
    launched.send(15)
    server.released.set()
    assert launched.end() == 143


def test_a_refusal_is_said_and_costs_nothing(tracked: Pod, server: ArtifactServer) -> None:
    server.answers = [403]
    launched = tracked.start("sh", "-c", "while [ ! -e enough ]; do sleep 0.05; done; exit 3", env=NODE_0)
    until(lambda: len(_children(launched.pid)) == 2, "script and capture")
    until(lambda: len(_children(launched.pid)) == 1, "the capture's end")
    (tracked.folder / "enough").touch()
    assert launched.end() == 3
    assert "environment" not in json.loads(launched.message)
    assert launched.told.log
    assert b"[runwright] the environment could not be recorded: 127.0.0.1 answered 403" in launched.err


def test_a_tracker_that_hangs_is_not_waited_for_twice(tracked: Pod, server: ArtifactServer) -> None:
    server.answers = [0] * 10
    launched = tracked.run("true", env={**NODE_0, "RUNWRIGHT_UPLOAD_SECONDS": "1"})
    assert launched.process.returncode == 0
    assert launched.told.problem
    assert _children(launched.pid) == []


def test_an_end_comes_before_the_capture_s(tracked: Pod, server: ArtifactServer) -> None:
    """A Python that hangs holds up nothing, and is not left behind."""
    hanging = tracked.folder / "python"
    hanging.write_text("#!/bin/sh\necho $$ > hanging\ncase $1 in -c) exec sleep 1000 ;; esac\n")
    hanging.chmod(0o755)
    launched = tracked.run(str(hanging), env={**NODE_0, "RUNWRIGHT_UPLOAD_SECONDS": "2"})
    assert launched.process.returncode == 0
    assert launched.told.log == "logs/attempt-1/node-0.log"
    assert "environment" not in json.loads(launched.message)
    processes = subprocess.run(["pgrep", "-af", str(hanging)], capture_output=True, text=True, check=False).stdout
    assert processes == ""


def _children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, check=False).stdout.split()
    return [int(child) for child in found]


# ---------------------------------------------------------------------------------------------------- variables


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("PARAM_lr", True),
        ("PARAM_num_tokens", True),  # a parameter: in MLflow anyway
        ("PARAM_max_token", True),
        ("RUNWRIGHT_ATTEMPT", True),
        ("PET_NNODES", True),
        ("MASTER_ADDR", True),
        ("CUDA_VISIBLE_DEVICES", True),
        ("CUBLAS_WORKSPACE_CONFIG", True),
        ("NCCL_DEBUG", True),
        ("OMP_NUM_THREADS", True),
        ("PYTHONHASHSEED", True),
        ("MLFLOW_RUN_ID", True),
        ("MLFLOW_TRACKING_PASSWORD", False),
        ("MLFLOW_TRACKING_TOKEN", False),
        ("MLFLOW_TRACKING_URI", False),  # may hold a password
        ("AWS_SECRET_ACCESS_KEY", False),
        ("HF_TOKEN", False),
        ("WANDB_API_KEY", False),
        ("DATABASE_URL", False),
        ("NCCL_AUTH_TOKEN", False),  # its prefix is fine, its name is not
        ("CUDA_LICENSE_KEY", False),
        ("TORCH_PASSWORD", False),
        ("TORCH_FROM_SECRET", False),
        ("TORCH_HOME", False),  # named below as coming from a Secret
    ],
)
def test_which_values_are_recorded(name: str, kept: bool) -> None:
    found = variables({name: "value", "RUNWRIGHT_SECRET_ENV": "OTHER,TORCH_HOME"})
    assert (found.get(name) == "value") is kept
    assert kept or "value" not in found.values()


@given(names=st.sets(st.from_regex(r"[A-Za-z_]{1,12}", fullmatch=True), max_size=20))
def test_no_value_of_an_unknown_variable_is_recorded(names: set[str]) -> None:
    found = variables(dict.fromkeys(names, "hush"))
    assert all(name.startswith(WITH_VALUES) or name in WITH_VALUE for name in found)


def test_a_variable_from_a_secret_is_never_recorded_by_the_launcher(tracked: Pod, server: ArtifactServer) -> None:
    env = {**NODE_0, "RUNWRIGHT_SECRET_ENV": "NCCL_PLUGIN_LICENSE", "NCCL_PLUGIN_LICENSE": "hush-hush"}
    tracked.run("true", env=env)
    assert b"hush-hush" not in b"".join(server.stored.values())
    assert "NCCL_PLUGIN_LICENSE" in json.loads(server.of_run(f"{FOLDER}node-0.json"))["otherVariables"]


# ---------------------------------------------------------------------------------------------------- Python, packages


def test_the_script_s_own_python_is_asked(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    package = next(venv.glob("lib/python*/site-packages")) / "mine-1.5.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.5\n")
    env = {"PATH": os.environ["PATH"]}
    found = python([str(venv / "bin" / "python3"), "train.py"], env)
    assert found["prefix"] == str(venv)
    assert "mine==1.5" in found["packages"]
    tool = venv / "bin" / "torchrun"
    tool.write_text(f"#!{venv}/bin/python3 -sE\n")
    tool.chmod(0o755)
    assert python([str(tool)], env)["prefix"] == str(venv)
    assert "mine==1.5" not in python(["python3"], env)["packages"]


def test_packages_from_git_are_named_by_commit_and_without_credentials(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = next(venv.glob("lib/python*/site-packages"))
    origins = {
        "from_git": {"url": "https://me:hush@host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}},
        "here": {"url": "file:///workspace", "dir_info": {"editable": True}},
    }
    for name, origin in origins.items():
        package = site / f"{name}-1.0.dist-info"
        package.mkdir()
        (package / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (package / "direct_url.json").write_text(json.dumps(origin))
    found = python([str(venv / "bin" / "python3")], {"PATH": os.environ["PATH"]})["packages"]
    assert found == ["from_git @ git+https://host/x.git@abc123", "# editable: here==1.0"]


@pytest.mark.parametrize(
    ("line", "found"), [("#!/usr/bin/env python3", "python3"), ("#!/bin/sh", "python3"), ("\x7fELF", "python3")]
)
def test_the_interpreter_of_other_commands(tmp_path: Path, line: str, found: str) -> None:
    tool = tmp_path / "tool"
    tool.write_text(line + "\n")
    tool.chmod(0o755)
    env = {"PATH": os.environ["PATH"]}
    assert Path(interpreter([str(tool)], env)).name.startswith(found)
    assert Path(interpreter(["no-such-program"], env)).name.startswith("python3")


def test_a_module_of_the_workspace_does_not_stand_in_the_way(tracked: Pod, server: ArtifactServer) -> None:
    for name in ("json", "signal", "http", "threading", "importlib"):
        (tracked.folder / f"{name}.py").write_text("raise RuntimeError('not me')")
    launched = tracked.run("sh", "-c", "exit 0", env=NODE_0)
    assert launched.process.returncode == 0
    assert "packages" not in json.loads(server.of_run(f"{FOLDER}node-0.json"))["python"]
    assert b"pytest==" in server.of_run(f"{FOLDER}requirements.txt")


# ---------------------------------------------------------------------------------------------------- code, hardware


def commit(folder: Path) -> str:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "init.defaultBranch=main"]
    if not (folder / ".git").exists():
        subprocess.run(["git", *identity, "init", "-q", str(folder)], check=True)
    subprocess.run(["git", *identity, "-C", str(folder), "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    return subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_of_a_clone_without_git_s_help(tmp_path: Path) -> None:
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    head = commit(origin)
    subprocess.run(["git", "clone", "-q", str(origin), str(clone)], check=True)
    assert git(str(clone)) == {"commit": head, "branch": "main", "origin": str(origin)}
    (clone / "sub" / "folder").mkdir(parents=True)
    assert git(str(clone / "sub" / "folder")) == git(str(clone))
    subprocess.run(["git", "-C", str(clone), "pack-refs", "--all"], check=True)
    assert git(str(clone)) == {"commit": head, "branch": "main", "origin": str(origin)}
    url = "https://me:hush@host/team/x.git"
    subprocess.run(["git", "-C", str(clone), "remote", "set-url", "origin", url], check=True)
    subprocess.run(["git", "-C", str(clone), "checkout", "-q", "--detach"], check=True)
    assert git(str(clone)) == {"commit": head, "origin": "https://host/team/x.git"}
    subprocess.run(["git", "-C", str(clone), "worktree", "add", "-q", "-b", "side", str(tmp_path / "side")], check=True)
    assert git(str(tmp_path / "side")) == {"commit": head, "branch": "side", "origin": "https://host/team/x.git"}


def test_no_clone_no_commit(tmp_path: Path) -> None:
    assert git(str(tmp_path)) is None
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert git(str(tmp_path)) is None  # nothing is committed yet


def test_gpus_are_those_of_nvidia_smi(tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\n[ "$*" = "-q -x" ] && cat {SMI}\n')
    tool.chmod(0o755)
    found = environment_record(["true"], {"PATH": f"{tmp_path}:{os.environ['PATH']}"})["gpu"]
    assert found == {
        "driver": "570.1",
        "cuda": "12.8",
        "devices": [
            {"name": "NVIDIA A", "uuid": "GPU-1", "memory": "81559 MiB"},
            {"name": "NVIDIA B", "uuid": "GPU-2", "memory": "40960 MiB"},
        ],
    }


@pytest.mark.parametrize("smi", ["exit 9", "echo no xml", "kill -9 $$"])
def test_an_nvidia_smi_that_fails(tmp_path: Path, smi: str) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{smi}\n")
    tool.chmod(0o755)
    assert environment_record(["true"], {"PATH": f"{tmp_path}:{os.environ['PATH']}"})["gpu"] is None
