"""What all parts of one fetch share."""

from dataclasses import dataclass, field
from pathlib import Path

from runwright.inpod.fetch.credentials import Redactor
from runwright.inpod.fetch.lock import Owner, Timing


@dataclass(frozen=True, slots=True)
class Pace:
    """How a download is done.

    Attributes:
        parallelism: Connections at once.
        part_bytes: Size of a range.
        retry_seconds: Time without a byte after which a source is given up.
        durable: fsync every file: for a cache that outlives the node's memory.
    """

    parallelism: int = 16
    part_bytes: int = 16 * 2**20
    retry_seconds: float = 300
    durable: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """What all parts of one fetch share.

    Attributes:
        private: Folder for copies of key files; only this process' user can read it, and it goes at the end.
        redactor: Learns the secrets.
        authority: PEM file with certificate authorities to trust beside the system's.
        owner: Who we are, for the cache's lock.
        pace: How to download.
        timing: Of the cache's lock.
    """

    private: Path
    redactor: Redactor = field(default_factory=Redactor)
    authority: Path | None = None
    owner: Owner = field(default_factory=Owner)
    pace: Pace = field(default_factory=Pace)
    timing: Timing = field(default_factory=Timing)
