"""Records what a run needs to be repeated: packages, Python, system, hardware, code, variables. Never a secret.

A process of its own at idle priority, beside the script; what it cannot find out it leaves out.
"""

# standard library of any image; it runs nvidia-smi and the script's own Python
# ruff: noqa: PLC0415, PTH100, PTH109, PTH110, PTH113, PTH118, PTH119, PTH120, PTH123

from __future__ import annotations

import contextlib
import os
import sys
import time

from runwright.inpod.artifacts import Artifacts, ArtifactsError
from runwright.inpod.cgroup import cpu_limit, memory_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

OURS = ("PARAM_", "RUNWRIGHT_")
"""Reserved names: never from a Secret, whatever they sound like (``PARAM_num_tokens``)."""
WITH_VALUES = (
    *OURS, "PET_", "MASTER_", "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "NCCL_", "GLOO_", "UCX_", "OMP_", "MKL_",
    "KMP_", "OPENBLAS_", "NUMEXPR_", "TORCH_", "PYTORCH_", "TORCHINDUCTOR_", "TF_", "XLA_", "JAX_",
)  # fmt: skip
"""Prefixes of variables that change what a training computes or how fast: recorded with their values."""
WITH_VALUE = (
    "RANK", "WORLD_SIZE", "PYTHONHASHSEED", "PYTHONPATH", "PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "LANG", "LC_ALL",
    "TZ", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID",
)  # fmt: skip
HIDDEN = r"(?i)(^|_)(token|secret|secrets|password|passwd|pass|credential|credentials|auth|key|apikey)(_|$)"
"""A name that sounds like this keeps its value to itself, whatever its prefix."""
VALUE_CHARACTERS = 4096
COMMAND_SECONDS = 120
"""For a program that is asked at idle priority beside a training on all cores."""
TRACKER_SECONDS = 900
"""A tracker that is away at the start still gets the environment when it comes back in this time."""
PACKAGES = """
import json, sys
from importlib import metadata
found = {}
for d in metadata.distributions():
    name = d.metadata["Name"]
    if not name or name.lower().replace("_", "-") in found:
        continue
    line = name + "==" + (d.version or "?")
    try:
        url = json.loads(d.read_text("direct_url.json") or "{}")
        where = url.get("url", "")
        vcs = url.get("vcs_info", {})
        if vcs:
            line = "%s @ %s+%s@%s" % (name, vcs.get("vcs", "git"), where.split("://")[0] + "://"
                                      + where.split("://")[-1].split("@")[-1], vcs.get("commit_id", ""))
        elif url.get("dir_info", {}).get("editable"):
            line = "# editable: %s==%s" % (name, d.version)
    except Exception:
        pass
    found[name.lower().replace("_", "-")] = line
print(json.dumps({"version": sys.version, "executable": sys.executable, "prefix": sys.prefix,
                  "implementation": sys.implementation.name, "packages": [found[n] for n in sorted(found)]}))
"""


def capture(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Record and upload the environment; the exit code is 0 if it is stored."""
    import json

    with contextlib.suppress(OSError):
        os.nice(19)
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    record = environment_record(command, env)
    folder = f"environment/attempt-{env.get('RUNWRIGHT_ATTEMPT', '1')}"
    requirements = "\n".join(record["python"].pop("packages", [])) + "\n"
    artifacts, give_up_at = Artifacts(env), time.monotonic() + TRACKER_SECONDS
    try:
        artifacts.put(f"{folder}/node-0.json", json.dumps(record, indent=1).encode() + b"\n", give_up_at)
        artifacts.put(f"{folder}/requirements.txt", requirements.encode(), give_up_at)
    except ArtifactsError as error:
        os.write(2, f"[runwright] the environment could not be recorded: {error}\n".encode(errors="replace"))
        return 1
    return 0


def environment_record(command: Sequence[str], env: Mapping[str, str]) -> dict[str, Any]:
    """Everything that is recorded."""
    import datetime as dt
    import platform

    uname = platform.uname()
    return {
        "captured": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),  # noqa: UP017  # 3.8
        "command": list(command),
        "python": python(command, env),
        "system": {
            "name": os_name(),
            "kernel": f"{uname.system} {uname.release}",
            "libc": " ".join(platform.libc_ver()),
        },
        "cpu": {
            "model": cpu_model() or uname.processor,
            "architecture": uname.machine,
            "count": os.cpu_count(),
            "usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "limit": cpu_limit(),
        },
        "memory": {"total": total_memory(), "limit": memory_limit()},
        "gpu": gpus(env),
        "git": git(os.getcwd()),
        "variables": variables(env),
        "otherVariables": sorted(set(env) - set(variables(env))),
    }


def variables(env: Mapping[str, str]) -> dict[str, str]:
    """Variables whose values are recorded: an allow-list, without those that come from a Secret or sound like one.

    ``RUNWRIGHT_SECRET_ENV`` holds the names of variables that come from Secrets, separated by commas.
    """
    import re

    secret = env.get("RUNWRIGHT_SECRET_ENV", "").split(",")
    return {
        name: value[:VALUE_CHARACTERS]
        for name, value in sorted(env.items())
        if (name.startswith(WITH_VALUES) or name in WITH_VALUE)
        and name not in secret
        and (name.startswith(OURS) or not re.search(HIDDEN, name))
    }


def interpreter(command: Sequence[str], env: Mapping[str, str]) -> str:
    """Find the Python that runs the script: the command itself, or that of its ``#!`` line; else the PATH's."""
    import shutil

    path = env.get("PATH")
    program = shutil.which(command[0], path=path) if command else None
    words = [program or ""]
    if program and not os.path.basename(program).startswith("python"):
        with contextlib.suppress(OSError, ValueError), open(program, "rb") as file:
            if file.read(2) == b"#!":
                words = file.readline(256).decode().split()
                words = words[1:] if words and os.path.basename(words[0]) == "env" else words
    found = words[0] if words and os.path.basename(words[0]).startswith("python") else "python3"
    return os.path.abspath(shutil.which(found, path=path) or sys.executable)


def python(command: Sequence[str], env: Mapping[str, str]) -> dict[str, Any]:
    """Ask the script's Python for its version and packages (as ``pip freeze`` would name them)."""
    import json

    for program in dict.fromkeys([interpreter(command, env), sys.executable]):
        with contextlib.suppress(ValueError, TypeError):
            return dict(json.loads(asked([program, "-c", PACKAGES], env)))
    return {"version": sys.version, "executable": sys.executable}


def asked(command: Sequence[str], env: Mapping[str, str]) -> str:
    """Return a program's output; ``""`` when it fails or takes too long."""
    import subprocess

    try:
        done = subprocess.run(  # noqa: S603  # nvidia-smi and the script's own Python
            command,
            env=dict(env),
            cwd="/",  # Python looks there first, and the workspace may hold a json.py
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")


def gpus(env: Mapping[str, str]) -> dict[str, Any] | None:
    """Names, driver and CUDA version of the visible NVIDIA GPUs; None without ``nvidia-smi``."""
    from xml.etree import ElementTree as ET

    try:
        log = ET.fromstring(asked(["nvidia-smi", "-q", "-x"], env))  # noqa: S314  # the output of a program in the image
    except ET.ParseError:
        return None

    def text(node: ET.Element, path: str) -> str:
        return (node.findtext(path) or "").strip()

    return {
        "driver": text(log, "driver_version"),
        "cuda": text(log, "cuda_version"),
        "devices": [
            {"name": text(gpu, "product_name"), "uuid": text(gpu, "uuid"), "memory": text(gpu, "fb_memory_usage/total")}
            for gpu in log.findall("gpu")
        ],
    }


def git(workspace: str) -> dict[str, str] | None:
    """Commit, branch and origin of the clone around a folder, read from its files: the image may have no git."""
    import re

    workspace = os.path.abspath(workspace)
    folder = os.path.join(workspace, ".git")
    while not os.path.exists(folder) and workspace != "/":
        workspace = os.path.dirname(workspace)
        folder = os.path.join(workspace, ".git")
    try:
        if os.path.isfile(folder):  # a worktree or submodule
            folder = os.path.join(workspace, read(folder).partition("gitdir:")[2].strip())
        head = read(os.path.join(folder, "HEAD")).strip()
    except OSError:
        return None
    found = {"commit": head}
    common = folder
    with contextlib.suppress(OSError):
        common = os.path.join(folder, read(os.path.join(folder, "commondir")).strip())
    if head.startswith("ref: "):
        ref = head[5:]
        found = {"commit": "", "branch": re.sub("^refs/heads/", "", ref)}
        for place in (folder, common):
            with contextlib.suppress(OSError):
                found["commit"] = found["commit"] or read(os.path.join(place, ref)).strip()
        with contextlib.suppress(OSError):
            packed = re.search(rf"(?m)^([0-9a-f]+) {re.escape(ref)}$", read(os.path.join(common, "packed-refs")))
            found["commit"] = found["commit"] or (packed.group(1) if packed else "")
    with contextlib.suppress(OSError):
        config = read(os.path.join(common, "config"))
        origin = re.search(r'\[remote "origin"\][^\[]*?^\s*url\s*=\s*(.+?)\s*$', config, re.MULTILINE)
        if origin:
            found["origin"] = re.sub(r"^(\w+://)[^/@]*@", r"\1", origin.group(1))  # no credentials
    return found if found["commit"] else None


def os_name() -> str:
    """Return the distribution's name and version."""
    with contextlib.suppress(OSError):
        for line in read("/etc/os-release").splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip("\"'")
    return sys.platform


def cpu_model() -> str:
    """Return the processor's model name."""
    with contextlib.suppress(OSError):
        for line in read("/proc/cpuinfo").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return ""


def total_memory() -> int | None:
    """Bytes of memory of the machine."""
    with contextlib.suppress(OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def read(path: str) -> str:
    """Return a small text file."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
