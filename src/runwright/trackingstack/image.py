"""Image references, split as the charts take them."""

from typing import Final

LATEST: Final = "latest"


def split(reference: str) -> dict[str, str]:
    """Split ``registry/repository:tag@digest`` into the charts' values.

    Without a registry the cluster's default holds, whatever mirror the operator's defaults name: an image that a user
    names is taken literally. The first component is a registry if it looks like a host (distribution/reference).
    """
    rest, _, digest = reference.partition("@")
    first, slash, remainder = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, rest = first, remainder
    else:
        registry = ""
    repository, _, tag = rest.partition(":")
    return {
        "registry": registry,
        "repository": repository,
        "tag": tag or ("" if digest else LATEST),
        "digest": digest,
    }


def tagged(version: str) -> dict[str, str]:
    """Another version of the default image; the default's digest would contradict it."""
    return {"tag": version, "digest": ""}
