"""Carrying out a job description: code first, since it fails faster, then the datasets one after the other."""

import os
from pathlib import Path

from runwright.inpod.fetch.credentials import Redactor
from runwright.inpod.fetch.git import fetch_git
from runwright.inpod.fetch.job import FetchJob
from runwright.inpod.fetch.lock import Owner
from runwright.inpod.fetch.report import Report, known_commit, save
from runwright.inpod.fetch.setting import Pace, Setting


def carry_out(job: FetchJob, report: Report, redactor: Redactor, private: Path) -> None:
    """Fetch everything, and note it in the report as it arrives.

    Raises:
        FetchError: The first thing that can't be had.
    """
    pace = Pace(job.parallelism, job.part_bytes, job.retry_seconds)
    authority = Path(job.ca_bundle) if job.ca_bundle else None
    setting = Setting(private, redactor, authority, Owner(job.run, job.attempt), pace)
    result = Path(job.result_file) if job.result_file else None
    if job.git is not None:
        wanted = job.git
        if wanted.commit is None and (before := known_commit(result)):
            # Init containers may run again in the same pod: what lies there already is of this commit.
            wanted = wanted.model_copy(update={"commit": before})

        def resolved(commit: str) -> None:
            report.commit = commit
            if result is not None:
                save(report, redactor, result)

        report.git = fetch_git(wanted, Path(job.workspace), setting, resolved)
    if not job.datasets:
        return
    from runwright.inpod.fetch.datasets import Dataset  # noqa: PLC0415  # boto3 takes half a second to import
    from runwright.inpod.fetch.s3 import isolate  # noqa: PLC0415

    isolate(os.environ)
    for number, dataset in enumerate(job.datasets):
        report.datasets.append(Dataset(number, dataset, setting).fetch())
