"""The machine's own settings for package downloads, handed to image builds.

A build must reach packages the way its machine does: through the same index, proxy and certificates. They are read from
pip's and apt's configuration and mounted while an image is built, so that nothing of them is in a Dockerfile.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster.shell import replace_file, run

if TYPE_CHECKING:
    from collections.abc import Mapping

_PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
_CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CA_IN_BUILD = "/run/testbed/ca.crt"
_APT_SETTING = re.compile(r'^(Acquire::(?:https?|ftp)(?:::[^ ]+)?::(?:Proxy|CAInfo)) "(.+)";$', re.MULTILINE)


def pip_configuration(listed: str, *, ca_file: str | None) -> str:
    """Return a pip.conf with the settings of `pip config list` that matter to a download.

    Args:
        listed: What `pip config list` printed, settings from environment variables included.
        ca_file: Where the build finds the machine's certificates, None if they are the usual ones.
    """
    found: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in _PIP_SETTINGS:
            found["timeout" if key == "default-timeout" else key] = value.strip("'\"").replace("\\n", "\n    ")
    if ca_file:
        found["cert"] = ca_file
    lines = [
        "[global]",
        "disable-pip-version-check = true",
        *(f"{key} = {value}" for key, value in sorted(found.items())),
    ]
    return "\n".join(lines) + "\n"


def ca_bundle(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file of certificates that this machine's environment names, if it names one."""
    for variable in _CA_VARIABLES:
        if (value := environment.get(variable)) and Path(value).is_file():
            return Path(value)
    return None


def apt_configuration(dumped: str, *, ca_file: str | None) -> str:
    """Return an apt.conf with the proxies and certificates of `apt-config dump`."""
    lines = [
        f'{name} "{ca_file if name.endswith("CAInfo") and ca_file else value}";'
        for name, value in _APT_SETTING.findall(dumped)
    ]
    return "".join(f"{line}\n" for line in lines)


def build_volumes(directory: Path) -> list[str]:
    """Write the settings into a folder and return `--volume` options that mount them during a build."""
    volumes = []
    bundle = ca_bundle()
    if bundle:
        replace_file(directory / "ca.crt", bundle.read_text())
        volumes.append(f"--volume={directory / 'ca.crt'}:{_CA_IN_BUILD}:ro")
    ca_file = _CA_IN_BUILD if bundle else None
    listed = run([sys.executable, "-m", "pip", "config", "list"], check=False).stdout
    replace_file(directory / "pip.conf", pip_configuration(listed, ca_file=ca_file))
    volumes.append(f"--volume={directory / 'pip.conf'}:/etc/pip.conf:ro")
    apt = apt_configuration(run(["apt-config", "dump"], check=False).stdout, ca_file=ca_file)
    if apt:
        replace_file(directory / "apt.conf", apt)
        volumes.append(f"--volume={directory / 'apt.conf'}:/etc/apt/apt.conf.d/90testbed:ro")
    return volumes


def debian_mirror() -> str | None:
    """Return the mirror that this machine's apt gets Debian from, None to let debootstrap use its own."""
    listed = run(
        ["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Identifier: Packages"], check=False
    ).stdout
    for line in listed.splitlines():
        label, _, uri = line.partition("|")
        if label == "Debian":
            return uri
    return None
