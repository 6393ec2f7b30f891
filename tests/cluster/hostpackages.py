"""What the bare node needs from the Linux distribution, installed with apt where it is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.errors import ClusterError
from tests.cluster.shell import run

if TYPE_CHECKING:
    from tests.cluster.steps import Steps

CNI_PLUGINS = Path("/usr/lib/cni")
# Debian package -> the program that tells whether it is there.
_PACKAGES = {
    "runc": "runc",
    "iptables": "iptables",
    "nftables": "nft",
    "conntrack": "conntrack",
    "iproute2": "ip",
    "socat": "socat",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "openssl": "openssl",
    "ca-certificates": "update-ca-certificates",
    "containernetworking-plugins": str(CNI_PLUGINS / "bridge"),
}
# Not every user's PATH has these.
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def find(program: str) -> str | None:
    """Return the path of a program, looked for in the system folders too."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")


def missing() -> tuple[str, ...]:
    """Return the Debian packages that are not installed."""
    return tuple(package for package, program in _PACKAGES.items() if find(program) is None)


def install(steps: Steps) -> None:
    """Install what is missing.

    Raises:
        ClusterError: If there is no apt, or it fails.
    """
    packages = missing()
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(
            f"these are not installed, and there is no apt-get to install them: {', '.join(packages)}",
            "install them with your distribution's package manager (the names are Debian's)",
        )
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with steps.step("apt-get update"):
        run(["apt-get", "update", "-qq"], env=quiet, remedy="check the machine's apt sources and network")
    with steps.step(f"apt-get install {' '.join(packages)}"):
        run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], env=quiet)
    if still := missing():
        raise ClusterError(f"apt-get installed {', '.join(still)}, but the programs are not where they should be")
