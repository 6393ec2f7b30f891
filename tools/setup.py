"""Makes the development environment: uv, then the locked dependencies. Needs only a Python of the system."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "runwright"
UV_VERSION = "0.13.9"


def find_uv() -> str:
    """Return uv's path; installed into the cache folder when the machine has none."""
    found = shutil.which("uv")
    if found:
        return found
    home = CACHE / "uv"
    program = home / "bin" / "uv"
    if not program.exists():
        print(f"installing uv {UV_VERSION} into {home}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "-q", f"uv=={UV_VERSION}"]
        subprocess.run(pip, check=True)
    return str(program)


def main() -> int:
    """Sync the environment of this checkout with the lock file."""
    if sys.version_info < (3, 9):  # noqa: UP036  # this file runs on whatever the system has
        print("setup: Python 3.9 or newer is needed to start; uv brings the rest", file=sys.stderr)
        return 1
    uv = find_uv()
    done = subprocess.run([uv, "sync", "--frozen", "--quiet"], check=False)
    if done.returncode:
        print("setup: uv could not make the environment; its message is above", file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
