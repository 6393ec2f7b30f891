"""What these tests need of the system, installed with apt where it is missing, as the testbed does with its own."""

import os
import shutil
from pathlib import Path

from tests.cluster import paths
from tests.cluster.hostpackages import find
from tests.cluster.shell import exclusive, run

PACKAGES = {"git": "git", "openssh-client": "ssh", "openssh-server": "sshd"}
GIT_BACKEND = "git-http-backend"


def nss_wrapper() -> Path | None:
    """Return the library that gives ssh a user's name where there is none."""
    return next(iter(sorted(Path("/usr/lib").glob("**/libnss_wrapper.so*"))), None)


def install() -> None:
    """Install what is missing.

    Raises:
        ClusterError: It can't be; says what to install.
    """
    paths.cache().mkdir(parents=True, exist_ok=True)
    with exclusive(paths.cache() / "apt.lock"):  # workers of pytest-xdist come at the same time
        _install()


def _install() -> None:
    missing = [package for package, program in PACKAGES.items() if find(program) is None]
    if nss_wrapper() is None:
        missing.append("libnss-wrapper")
    if not missing:
        return
    remedy = f"install {', '.join(missing)} with your distribution's package manager (the names are Debian's)"
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # 1: invoke-rc.d starts nothing
    run(["apt-get", "update", "-qq"], env=quiet, remedy=remedy)
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], env=quiet, remedy=remedy)


def git_backend() -> Path:
    """Return git's CGI program."""
    return Path(run(["git", "--exec-path"]).stdout.strip()) / GIT_BACKEND


def is_root() -> bool:
    """Whether mounts and other users can be had."""
    return os.geteuid() == 0 and shutil.which("mount") is not None
