"""Datasets from S3: into their mounts, or into a cache claim with links from the mounts."""

import hashlib
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from runwright.inpod.fetch.cache import Complete, Entry, Workplace, digest_of, link, plan_of
from runwright.inpod.fetch.disk import describe, require_room, size_text
from runwright.inpod.fetch.job import DatasetJob
from runwright.inpod.fetch.patience import Patience
from runwright.inpod.fetch.problems import FetchError, Reason, TroubleError
from runwright.inpod.fetch.progress import Progress
from runwright.inpod.fetch.report import DatasetResult
from runwright.inpod.fetch.s3 import Bucket, ChangedError, Location, Source, parse_uri
from runwright.inpod.fetch.setting import Setting
from runwright.inpod.fetch.transfer import Transfer
from runwright.inpod.fetch.tree import FileDigest

log = logging.getLogger(__name__)

ROUNDS: Final = 3
"""How often a dataset that changes while it is read is listed anew."""
PARTS: Final = ".runwright-fetch-parts"
T = TypeVar("T")


class Dataset:
    """One dataset of a job.

    Args:
        number: Its index in ``spec.datasets``.
        job: What is wanted.
        setting: Shared.
    """

    def __init__(self, number: int, job: DatasetJob, setting: Setting) -> None:
        self._field = f"spec.datasets[{number}]"
        self._job = job
        self._setting = setting
        self._pace = replace(setting.pace, durable=bool(job.cache_path))
        self._downloaded = False

    def fetch(self) -> DatasetResult:
        """Bring the data.

        Raises:
            FetchError: With one of the dataset reasons.
        """
        begun = time.monotonic()
        job = self._job
        location = parse_uri(job.uri, f"{self._field}.uri")
        mount = Path(job.mount_path)
        at = Path(job.cache_path) if job.cache_path else mount
        try:
            mount.mkdir(parents=True, exist_ok=True)
            done = self._cached(location, at) if job.cache_path else self._direct(location, mount)
            if job.cache_path:
                at = mount
                link(done, mount)
        except OSError as error:
            raise describe(error, self._room_field(), at) from None
        result = DatasetResult(
            job.name, done.digest, done.size, len(done.files), not self._downloaded, time.monotonic() - begun
        )
        how = "downloaded" if self._downloaded else "in the cache"
        log.info(
            "dataset %s: %s, %d files, %s in %.1f s, sha256 %s",
            *(job.name, how, result.files, size_text(result.size), result.seconds, result.digest),
        )
        return result

    def _room_field(self) -> str:
        return f"{self._field}.cache.claimName" if self._job.cache_path else f"{self._field}.mountPath"

    def _patiently(self, call: Callable[[], T]) -> T:
        patience = Patience(f"{self._field}.uri", self._pace.retry_seconds)
        while True:
            try:
                return call()
            except TroubleError as trouble:
                log.info("dataset %s: %s; trying again", self._job.name, trouble)
                patience.after(trouble)

    def _rounds(self, location: Location, use: Callable[[Bucket, Source], Complete]) -> Complete:
        """List and download, again from the list when an object changed under way."""
        bucket, last = Bucket(location, self._field, self._job, self._setting), ""
        for number in range(1, ROUNDS + 1):
            source = self._patiently(bucket.look)
            try:
                return use(bucket, source)
            except ChangedError as change:
                log.warning("dataset %s: %s (round %d of %d)", self._job.name, change, number, ROUNDS)
                last = str(change)
        message = f"the data changed in each of {ROUNDS} rounds, last: {last}"
        raise FetchError(Reason.CHANGED, f"{self._field}.uri", message, "train on data that nobody writes to")

    def _load(self, bucket: Bucket, source: Source, work: Workplace) -> Complete:
        self._downloaded = True
        have = sum(file.size for file in work.present.values())
        if work.present:
            log.info("dataset %s: %d files are there already", self._job.name, len(work.present))
        remedy = (
            "use a larger claim, or remove what nobody uses" if self._job.cache_path else "choose nodes with more disk"
        )
        require_room(work.folder, source.size - have, self._room_field(), remedy)
        progress = Progress(self._job.name, source.size, have)
        log.info("dataset %s: %d files, %s", self._job.name, len(source.files), size_text(source.size))
        transfer = Transfer(bucket, work.tree, work.parts, f"{self._field}.uri", progress, self._pace)
        files = transfer.run(source.files, work.present)
        return Complete(self._verified(files, source), source.single, files, work.tree)

    def _verified(self, files: tuple[FileDigest, ...], source: Source) -> str:
        digest = digest_of(files, single=source.single)
        if self._job.sha256 not in {None, digest}:
            raise FetchError(
                Reason.DATASET_MISMATCH,
                f"{self._field}.sha256",
                f"{self._job.uri} has {digest}, not {self._job.sha256}",
                "correct the field, or put the data back; `python -m runwright.inpod.fetch digest PATH` computes it",
            )
        return digest

    def _direct(self, location: Location, mount: Path) -> Complete:
        parts = mount / PARTS
        shutil.rmtree(parts, ignore_errors=True)  # of an earlier process in the same pod

        def use(bucket: Bucket, source: Source) -> Complete:
            return self._load(bucket, source, _Mounted(mount, {}))

        try:
            return self._rounds(location, use)
        finally:
            shutil.rmtree(parts, ignore_errors=True)

    def _cached(self, location: Location, cache: Path) -> Complete:
        setting, sha256 = self._setting, self._job.sha256

        def entry(key: str) -> Entry:
            return Entry(cache, key, setting.owner, setting.timing)

        by_digest = entry(f"sha256-{sha256}-{_short(location.name)}") if sha256 else None
        if by_digest and (found := by_digest.find()):
            return found  # without a word to S3

        def use(bucket: Bucket, source: Source) -> Complete:
            plan = plan_of([(file.path, file.size, file.etag) for file in source.files])
            where = f"{self._job.endpoint or ''} {location.bucket} {source.single} {plan}"
            place = by_digest or entry(f"listing-{hashlib.sha256(where.encode()).hexdigest()}")
            sizes = {file.path: file.size for file in source.files}

            def fill(work: Workplace) -> Complete:
                try:
                    return self._load(bucket, source, work)
                except FetchError as error:
                    if error.reason is Reason.DATASET_MISMATCH:
                        place.discard()
                    raise

            return place.obtain(self._job.name, plan, sizes, fill)

        return self._rounds(location, use)


class _Mounted(Workplace):
    """Without a cache the mount itself is the tree."""

    @property
    def tree(self) -> Path:
        return self.folder

    @property
    def parts(self) -> Path:
        return self.folder / PARTS


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
