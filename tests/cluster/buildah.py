"""Building images without Docker: buildah with runc, on a Debian base that debootstrap makes."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tests.cluster import golang, hostsettings, mounts, paths
from tests.cluster.shell import exclusive, replace_file, run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.cluster.images import Image
    from tests.cluster.steps import Steps

_SUITE = "trixie"
_INCLUDED = "ca-certificates"
# Bump when the base is made differently.
_BASE_RECIPE = f"{_SUITE} minbase {_INCLUDED} 1"
BASE_HASH = hashlib.sha256(_BASE_RECIPE.encode()).hexdigest()[:12]
BASE = f"localhost/runwright-testbed/base:{BASE_HASH}"
PAUSE = "localhost/runwright-testbed/pause:1"
_PAUSE_DOCKERFILE = 'FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n'
_DEBIAN_DOCKERFILE = 'FROM scratch\nADD rootfs.tar /\nCMD ["/bin/bash"]\n'


@dataclass(frozen=True)
class Built:
    """An image in buildah's store."""

    reference: str
    hash: str


def _buildah(*words: str | Path) -> list[str | Path]:
    store = paths.images()
    return ["buildah", "--root", store / "storage", "--runroot", f"/run/{paths.DEFAULT_NAME}/buildah", *words]


def ensure_base(steps: Steps) -> None:
    """Make the Debian base image, unless it is there."""
    if _stored(BASE):
        return
    scratch = paths.images() / ".base"
    mounts.unmount_below(scratch)  # debootstrap mounts /proc and /sys in it, and may have been killed
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    root = scratch / "rootfs"
    mirror = hostsettings.debian_mirror()
    with steps.step(f"debootstrap {_SUITE}"):
        run(
            ["debootstrap", "--variant=minbase", f"--include={_INCLUDED}", _SUITE, root, *([mirror] if mirror else [])],
            remedy="check that this machine's apt mirror can be reached, and that debootstrap knows the suite",
        )
        shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
        run(["tar", "--numeric-owner", "--one-file-system", "-C", root, "-cf", scratch / "rootfs.tar", "."])
        shutil.rmtree(root)
        _build_plain(BASE, _DEBIAN_DOCKERFILE, scratch)
    shutil.rmtree(scratch)


def ensure_pause(steps: Steps) -> Built:
    """Make the image of the process that holds a pod's namespaces, unless it is there."""
    program = golang.ensure(["pause"], steps)["pause"]
    built = Built(PAUSE, golang.PROGRAMS["pause"].hash())
    if _recorded("pause") != built or not _stored(PAUSE):
        scratch = paths.images() / ".pause"
        scratch.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, scratch / "pause")
        with steps.step("build image pause"):
            _build_plain(PAUSE, _PAUSE_DOCKERFILE, scratch)
        shutil.rmtree(scratch)
        _record("pause", built)
    return built


def _ensure_with(name: str, steps: Steps) -> str:
    """Return the reference of the base with a program as /usr/bin/NAME, made unless it is there."""
    program = golang.ensure([name], steps)[name]
    reference = f"localhost/runwright-testbed/{name}:{BASE_HASH}-{golang.PROGRAMS[name].hash()}"
    if not _stored(reference):
        scratch = paths.images() / f".{name}"
        scratch.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, scratch / name)
        with steps.step(f"build image of {name}"):
            _build_plain(reference, f"FROM {BASE}\nCOPY {name} /usr/bin/{name}\n", scratch)
        shutil.rmtree(scratch)
    return reference


def ensure(images: Iterable[Image], steps: Steps) -> tuple[Built, ...]:
    """Build the images whose inputs changed since they were built.

    Raises:
        ClusterError: With the end of the build's output, if one fails.
    """
    wanted = tuple(images)
    with exclusive(paths.images() / "build.lock"):
        run(_buildah("rm", "--all"))  # what an interrupted build left
        ensure_base(steps)
        return tuple(_ensure(image, steps) for image in wanted)


def _ensure(image: Image, steps: Steps) -> Built:
    built = Built(image.reference, image.hash(BASE_HASH, image.bare_arguments))
    if _recorded(image.folder) == built and _stored(image.reference):
        return built
    options: list[str | Path] = [f"--build-arg=BASE={BASE}"]
    options += [f"--build-arg={name}={value}" for name, value in sorted(image.bare_arguments.items())]
    options += hostsettings.build_volumes(paths.images() / "settings")
    options += [
        f"--build-arg={name}={_ensure_with(program, steps)}" for name, program in sorted(image.bare_images.items())
    ]
    if image.programs:
        programs = paths.images() / f".bin-{image.folder}"
        programs.mkdir(parents=True, exist_ok=True)
        for name, file in golang.ensure(image.programs, steps).items():
            shutil.copy(file, programs / name)
        options.append(f"--build-context=bin={programs}")
    with steps.step(f"build image {image.name}"):
        run(
            _buildah("bud", "--isolation", "oci", "--runtime", "runc", "--network", "host", "--layers",
                     "--pull-never", *options, "-t", image.reference, "-f", image.dockerfile, image.context_folder),
            remedy="the lines above are the end of the build's output",
        )  # fmt: skip
    _record(image.folder, built)
    return built


def save(reference: str, archive: Path) -> None:
    """Write an image as a docker-archive; uncompressed, since it is read once and from the same disk."""
    archive.unlink(missing_ok=True)
    run(_buildah("push", "--disable-compression", reference, f"docker-archive:{archive}:{reference}"))


def _build_plain(reference: str, dockerfile: str, context: Path) -> None:
    (context / "Dockerfile").write_text(dockerfile)
    run(_buildah("bud", "--isolation", "oci", "--runtime", "runc", "-t", reference, context))


def _stored(reference: str) -> bool:
    return run(_buildah("inspect", "--type", "image", reference), check=False).returncode == 0


def _recorded(key: str) -> Built | None:
    try:
        return Built(**json.loads((paths.images() / f"{key}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _record(key: str, built: Built) -> None:
    replace_file(paths.images() / f"{key}.json", json.dumps(asdict(built)))
