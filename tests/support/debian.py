"""Programs from the Linux distribution's packages that only some tests need."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.cluster import paths
from tests.cluster.errors import ClusterError
from tests.cluster.shell import exclusive

QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


def program(name: str, *packages: str) -> str:
    """Return a program's path; its packages are installed where it is missing.

    Raises:
        ClusterError: there is no apt, or it fails; with the remedy.
    """
    if found := shutil.which(name):
        return found
    with exclusive(paths.cache() / "apt.lock"):
        _apt("update", "-qq")
        _apt("install", "-y", "-qq", "--no-install-recommends", *packages)
    if found := shutil.which(name):
        return found
    raise ClusterError(f"the packages {', '.join(packages)} do not hold {name}", f"install {name} and try again")


def unpacked(package: str, file: str) -> Path:
    """Return a file of a package that is not installed, since its installation would start a service.

    Raises:
        ClusterError: there is no apt, or it fails; with the remedy.
    """
    folder = paths.cache() / "debian" / package
    if not (folder / file).exists():
        with exclusive(paths.cache() / "apt.lock"):
            folder.mkdir(parents=True, exist_ok=True)
            _apt("update", "-qq")
            _apt("download", "-qq", "-o", "APT::Sandbox::User=root", package, cwd=folder)
            archive = max(folder.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
            subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
    return folder / file


def _apt(*args: str, cwd: Path | None = None) -> None:
    if shutil.which("apt-get") is None:
        raise ClusterError(f"no apt-get for: {' '.join(args)}", "install the program with your package manager")
    command = ["apt-get", *args]
    done = subprocess.run(command, cwd=cwd, env=os.environ | QUIET, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"{' '.join(command)}: {done.stderr.strip()[-500:]}", "look at the message of apt above")
