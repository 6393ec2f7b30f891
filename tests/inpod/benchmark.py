"""``python -m tests.inpod.benchmark``: what the launcher costs a script, beside the same script without it."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from runwright.inpod.bundle import launcher
from tests.inpod.launched import PYTHON

MIB = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures: medians, and the lowest in brackets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=20, help="times per figure (default: 20)")
    repeat = parser.parse_args(arguments).repeat
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "launch.py"
        path.write_text(launcher())
        ours = [PYTHON, "-I", "-S", str(path), "--"]
        show(f"interpreter: {PYTHON}; medians of {repeat}, lowest in brackets; load {os.getloadavg()[0]:.1f}")
        compare("start: exec to the script's first line, ms", repeat, ours, started)
        compare("whole: exec to exit code, ms", repeat, ours, lambda prefix: timed([*prefix, "true"]))
        compare("CPU: launcher and script, ms", repeat, ours, lambda prefix: cpu([*prefix, "true"]))
        loop = "import os\nfor n in range(200000): os.write(1, b'step 12345 loss 0.1234\\n')"
        outputs = {
            "512 MiB in large writes": ["head", "-c", str(512 * MIB), "/dev/zero"],
            "3 million lines (23 MB) in writes of 4 KiB": ["seq", "3000000"],
            "200,000 lines, a write each": [PYTHON, "-S", "-c", loop],
        }
        for name, command in outputs.items():
            compare(f"{name}, ms", max(1, repeat // 5), ours, partial(written, command))
        small, large = memory(ours, "true"), memory(ours, "head -c 64M /dev/zero")
        show(f"memory: {small:.1f} MiB; after 64 MiB of output {large:.1f} MiB")
    return 0


def show(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def compare(name: str, repeat: int, ours: list[str], measure: Callable[[list[str]], float]) -> None:
    """Measure without and with the launcher, by turns."""
    bare, launched = [], []
    for _ in range(repeat):
        bare.append(measure([]))
        launched.append(measure(ours))

    def told(values: list[float]) -> str:
        return f"{statistics.median(values):8.3g} ({min(values):.3g})"

    show(f"{name:50} bare {told(bare):22} launched {told(launched)}")


def timed(command: list[str]) -> float:
    """Milliseconds from exec to exit, somebody reading its output."""
    began = time.perf_counter()
    reader = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert reader.stdout is not None
    while os.read(reader.stdout.fileno(), MIB):
        pass
    reader.wait()
    reader.stdout.close()
    return (time.perf_counter() - began) * 1000


def written(command: list[str], prefix: list[str]) -> float:
    """Milliseconds that a script with much output takes."""
    return timed([*prefix, *command])


def started(prefix: list[str]) -> float:
    """Milliseconds from exec to the script's first line."""
    began = time.perf_counter()
    process = subprocess.Popen([*prefix, "echo", "begun"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(1)
    found = (time.perf_counter() - began) * 1000
    process.communicate()
    return found


def cpu(command: list[str]) -> float:
    """Milliseconds of CPU, user and system."""
    pid = os.posix_spawnp(command[0], command, os.environ)
    usage = os.wait4(pid, 0)[2]
    return (usage.ru_utime + usage.ru_stime) * 1000


def memory(ours: list[str], command: str) -> float:
    """MiB of the launcher's peak, once `command` has ended in the script."""
    script = f"{command}; echo over >&2; read x"
    process = subprocess.Popen(
        [*ours, "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    process.stderr.readline()
    status = Path(f"/proc/{process.pid}/status").read_text()
    process.communicate(b"\n")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
