"""Limits and out-of-memory kills, as versions 1 and 2 of the kernel's control groups tell them."""

from pathlib import Path

import pytest

from runwright.inpod import cgroup
from tests.inpod.launched import Pod

VERSION_2 = {
    "memory.max": "134217728\n",
    "cpu.max": "150000 100000\n",
    "memory.events": "low 0\nhigh 0\nmax 5\noom 2\noom_kill 3\noom_group_kill 0\n",
}
VERSION_1 = {
    "memory/memory.limit_in_bytes": "134217728\n",
    "cpu/cpu.cfs_quota_us": "150000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
}
UNLIMITED_2 = {"memory.max": "max\n", "cpu.max": "max 100000\n", "memory.events": ""}
UNLIMITED_1 = {
    "memory/memory.limit_in_bytes": "9223372036854771712\n",
    "cpu/cpu.cfs_quota_us": "-1\n",
    "cpu/cpu.cfs_period_us": "100000\n",
}


@pytest.mark.parametrize(
    ("files", "limits"),
    [
        (VERSION_2, (134217728, 1.5, 3)),
        (VERSION_1, (134217728, 1.5, 3)),
        (UNLIMITED_2, (None, None, 0)),
        (UNLIMITED_1, (None, None, 0)),
        ({}, (None, None, 0)),
    ],
)
def test_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], limits: tuple[int | None, float | None, int]
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(cgroup, "ROOT", str(tmp_path))
    assert (cgroup.memory_limit(), cgroup.cpu_limit(), cgroup.out_of_memory_kills()) == limits


@pytest.mark.parametrize("code", [0, 137])
def test_a_kill_for_memory_is_told(pod: Pod, code: int) -> None:
    """The kernel's counter goes up while the script runs; the script need not be the one that was killed."""
    counter = pod.folder / "memory.events"
    counter.write_text("oom_kill 4\n")
    text = pod.launcher.read_text()
    assert text.count('ROOT = "/sys/fs/cgroup"') == 1
    pod.launcher.write_text(text.replace('ROOT = "/sys/fs/cgroup"', f'ROOT = "{pod.folder}"'))
    launched = pod.run("sh", "-c", f"echo oom_kill 6 > {counter}; exit {code}")
    assert launched.process.returncode == code
    assert launched.told.out_of_memory
    assert (
        b"the kernel killed a process for the memory limit: raise resourcesPerNode.memory or use less" in launched.err
    )
    assert pod.run("true").told.out_of_memory is False
