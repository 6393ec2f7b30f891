"""The init container that fetches code and data."""

import json
from typing import Any

from runwright.inpod.fetch.job import FetchJob
from runwright.trainingrun.fetching import Fetching, fetching
from tests.trainingrun.samples import OPTIONS, run

GIT = {"url": "https://git.example.com/vision.git", "credentialsSecretRef": {"name": "login"}}
DATA = {"name": "cifar", "uri": "s3://datasets/cifar/", "credentialsSecretRef": {"name": "login"}}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def made(attempt: int = 1, status: dict[str, Any] | None = None, **spec: Any) -> Fetching:
    body = run(**spec)
    if status is not None:
        body = body.from_dict({**body.to_dict(), "status": status})
    return fetching(body, attempt, {}, OPTIONS)


def job(fetched: Fetching) -> FetchJob:
    (container,) = fetched.containers
    (variable,) = container["env"]
    return FetchJob.from_json(variable["value"].replace("$$", "$"))


def test_a_run_that_fetches_nothing_gets_nothing() -> None:
    assert made(source={"inline": {"files": {"a.py": "print(1)"}}}) == Fetching()


def test_credentials_are_mounted_where_they_are_used_and_nowhere_else() -> None:
    fetched = made(source={"git": GIT}, datasets=[DATA])
    (container,) = fetched.containers
    secrets = [v["name"] for v in fetched.volumes if "secret" in v]
    assert secrets == ["credentials-0"], "one Secret, one volume"
    assert [m["mountPath"] for m in container["volumeMounts"] if m["name"] in secrets] == ["/credentials/0"]
    assert not [m for m in fetched.mounts if m["name"] in secrets]
    told = job(fetched)
    assert told.git is not None
    assert told.git.credentials == told.datasets[0].credentials == "/credentials/0"


def test_data_is_read_only_for_the_trainer() -> None:
    fetched = made(
        datasets=[DATA, {"name": "more", "uri": "s3://bucket/k", "mountPath": "/m", "cache": {"claimName": "c"}}]
    )
    assert [(m["mountPath"], m["readOnly"]) for m in fetched.mounts] == [
        ("/data/cifar", True),
        ("/m", True),
        ("/cache/0", True),
    ]
    assert [(d.mount_path, d.cache_path) for d in job(fetched).datasets] == [("/data/cifar", None), ("/m", "/cache/0")]


def test_later_attempts_get_the_first_ones_commit() -> None:
    resolved = {"phase": "Restarting", "resolved": {"gitCommit": COMMIT}}
    first, second = (job(made(n, resolved, source={"git": GIT})).git for n in (1, 2))
    assert first is not None
    assert second is not None
    assert (first.commit, second.commit) == (None, COMMIT)


def test_dollars_reach_the_container_as_they_are() -> None:
    fetched = made(datasets=[{"name": "d", "uri": "s3://bucket/$(HOME)/$x"}])
    (container,) = fetched.containers
    assert json.loads(container["env"][0]["value"])["datasets"][0]["uri"] == "s3://bucket/$$(HOME)/$$x"
