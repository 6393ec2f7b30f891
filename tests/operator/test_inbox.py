"""From events to keys."""

from typing import Any

import pytest

from runwright.kube.cache import Cache, Difference
from runwright.names import LABEL_RUN, LABEL_RUN_UID
from runwright.operator.inbox import Inbox
from runwright.operator.queue import WorkQueue
from runwright.ports import Json, Key, Kind

RUN = Key("team-a", "mnist")


class Recorder(WorkQueue):
    """A queue that is never opened and notes what was added."""

    def __init__(self, kind: Kind) -> None:
        async def never(_: Key) -> None:
            raise AssertionError

        super().__init__(kind, never, concurrency=1)
        self.added: list[Key] = []

    def add(self, key: Key) -> None:
        self.added.append(key)


def run(version: int, uid: str = "u-1", phase: str = "Running") -> dict[str, Any]:
    meta = {"namespace": "team-a", "name": "mnist", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": meta, "status": {"phase": phase}}


def pod(version: int) -> dict[str, Any]:
    labels = {LABEL_RUN: "mnist", LABEL_RUN_UID: "u-1"}
    meta = {"namespace": "team-a", "name": "mnist-0", "labels": labels, "resourceVersion": str(version)}
    return {"metadata": meta}


class Harness:
    def __init__(self) -> None:
        self.cache = Cache()
        self.runs, self.stacks = Recorder(Kind.TRAINING_RUN), Recorder(Kind.TRACKING_STACK)
        self.departed: list[Json] = []
        queues = {Kind.TRAINING_RUN: self.runs, Kind.TRACKING_STACK: self.stacks}
        self.stacks_told = 0
        self.inbox = Inbox(self.cache, queues, self.departed.append, self._told)

    def _told(self) -> None:
        self.stacks_told += 1


@pytest.fixture
def harness() -> Harness:
    return Harness()


def test_events_of_runs_jobs_and_pods_enqueue_the_run(harness: Harness) -> None:
    harness.inbox.event(Kind.TRAINING_RUN, None, run(1))
    harness.inbox.event(Kind.POD, "ADDED", pod(2))
    harness.inbox.event(Kind.POD, "DELETED", pod(3))
    assert harness.runs.added == [RUN, RUN, RUN]
    assert harness.cache.get(Kind.POD, Key("team-a", "mnist-0")) is None
    assert harness.departed == []


def test_stacks_have_their_own_queue(harness: Harness) -> None:
    stack = {"metadata": {"namespace": "team-a", "name": "default", "resourceVersion": "1"}}
    harness.inbox.event(Kind.TRACKING_STACK, "ADDED", stack)
    assert harness.stacks.added == [Key("team-a", "default")]
    assert harness.runs.added == []


def test_whatever_changes_a_stack_is_told(harness: Harness) -> None:
    def stack(version: int) -> dict[str, Any]:
        return {"metadata": {"namespace": "team-a", "name": "default", "resourceVersion": str(version)}}

    harness.inbox.event(Kind.TRACKING_STACK, "ADDED", stack(1))
    harness.inbox.event(Kind.TRACKING_STACK, "MODIFIED", stack(1))  # an echo
    assert harness.stacks_told == 1
    harness.inbox.found(Kind.TRACKING_STACK, Difference((stack(2),), ()))
    harness.inbox.learned(Kind.TRACKING_STACK, stack(3))
    harness.inbox.stack_changed()
    harness.inbox.event(Kind.TRACKING_STACK, "DELETED", stack(9))
    assert harness.stacks_told == 5
    harness.inbox.event(Kind.TRAINING_RUN, "ADDED", run(1))
    harness.inbox.event(Kind.POD, "ADDED", pod(2))
    assert harness.stacks_told == 5


def test_the_echo_of_our_own_write_is_dropped(harness: Harness) -> None:
    harness.cache.seen(Kind.TRAINING_RUN, run(5))
    harness.inbox.event(Kind.TRAINING_RUN, "MODIFIED", run(5))
    harness.inbox.event(Kind.TRAINING_RUN, "MODIFIED", run(4))
    assert harness.runs.added == []


def test_the_echo_of_the_end_that_we_wrote_is_no_departure(harness: Harness) -> None:
    harness.cache.seen(Kind.TRAINING_RUN, run(5))
    harness.cache.seen(Kind.TRAINING_RUN, run(6, phase="Succeeded"))
    harness.inbox.event(Kind.TRAINING_RUN, "DELETED", run(6))  # the watch tells the previous state
    assert harness.departed == []
    assert harness.runs.added == []


def test_a_deletion_departs_before_the_key_is_enqueued(harness: Harness) -> None:
    harness.inbox.event(Kind.TRAINING_RUN, "ADDED", run(1))
    harness.inbox.event(Kind.TRAINING_RUN, "DELETED", run(2))
    assert [body["metadata"]["resourceVersion"] for body in harness.departed] == ["2"]
    assert harness.runs.added == [RUN, RUN]


def test_a_name_taken_by_another_uid_departs_the_old_one(harness: Harness) -> None:
    harness.inbox.event(Kind.TRAINING_RUN, "ADDED", run(1))
    harness.inbox.event(Kind.TRAINING_RUN, "ADDED", run(9, uid="u-2"))
    assert [body["metadata"]["uid"] for body in harness.departed] == ["u-1"]
    harness.inbox.event(Kind.TRAINING_RUN, "DELETED", run(3))  # the old one's, late
    assert len(harness.departed) == 1


def test_what_a_live_read_brought_is_enqueued(harness: Harness) -> None:
    harness.cache.seen(Kind.POD, pod(2))
    harness.inbox.learned(Kind.POD, pod(2))
    assert harness.runs.added == [RUN]


def test_ghosts_depart_and_what_changed_is_enqueued(harness: Harness) -> None:
    harness.inbox.found(Kind.TRAINING_RUN, Difference([run(2)], [run(1)]))
    assert harness.departed == [run(1)]
    assert harness.runs.added == [RUN, RUN]


def test_a_stack_that_changed_wakes_the_runs_that_have_no_mlflow_run_yet(harness: Harness) -> None:
    tracked = run(1)
    tracked["status"]["tracking"] = {"runId": "r-1"}
    harness.inbox.event(Kind.TRAINING_RUN, None, tracked)
    waiting = run(2, uid="u-2", phase="Pending")
    waiting["metadata"]["name"] = "waits"
    harness.inbox.event(Kind.TRAINING_RUN, None, waiting)
    harness.runs.added.clear()
    harness.inbox.stack_changed()
    assert harness.runs.added == [Key("team-a", "waits")]
