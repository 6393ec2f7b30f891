"""What is followed, seen, and looked at again."""

import math
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from runwright.ports import Key, Metric, TrackedRun
from runwright.tracking.follow import Followed, Look

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = Key("team-a", "run")


def run(run_id: str = "r", value: float = 0.5) -> TrackedRun:
    return TrackedRun(run_id, "1", "RUNNING", metrics={"loss": Metric("loss", value, 1, NOW)})


def test_a_change_is_told_once() -> None:
    followed = Followed()
    followed.add("r", KEY)
    assert followed.record_all({"r"}, {"r": run()}) == {KEY}
    assert followed.record_all({"r"}, {"r": run()}) == frozenset()
    assert followed.record_all({"r"}, {"r": run(value=math.nan)}) == {KEY}
    assert followed.record_all({"r"}, {"r": run(value=float("nan"))}) == frozenset()
    assert followed.view("r") is not None


def test_a_run_that_left_the_database_turns_deleted_and_one_never_seen_stays_unknown() -> None:
    followed = Followed()
    followed.add("r", KEY)
    followed.add("never", Key("team-a", "never"))
    followed.record_all({"r", "never"}, {"r": run()})
    assert followed.record_all({"r", "never"}, {}) == {KEY}
    assert followed.record_all({"r", "never"}, {}) == frozenset()
    assert followed.view("r") == replace(run(), deleted=True)
    assert followed.view("never") is None


def test_what_comes_late_for_a_run_no_longer_followed_is_dropped() -> None:
    followed = Followed()
    followed.add("r", KEY)
    followed.discard("r")
    assert followed.record_all({"r"}, {"r": run()}) == frozenset()
    assert followed.view("r") is None


def test_looks_are_due_in_time_taken_once_and_given_up_when_followed_again() -> None:
    followed = Followed()
    look = Look("r", "FAILED", NOW, due=10.0)
    followed.look_again(look)
    assert followed.next_look == 10
    assert followed.due_looks(9.9) == []
    assert followed.due_looks(10) == [look]
    later = replace(look, due=20.0)
    followed.look_again(later)
    followed.looked(look)
    assert followed.due_looks(20) == [later], "the look that was planned meanwhile stays"
    followed.add("r", KEY)
    assert followed.next_look is None


@given(st.lists(st.tuples(st.sampled_from(["add", "discard", "poll"]), st.sampled_from("abc")), max_size=30))
def test_views_exist_for_followed_runs_only(steps: list[tuple[str, str]]) -> None:
    followed = Followed()
    for step, run_id in steps:
        if step == "add":
            followed.add(run_id, Key("n", run_id))
        elif step == "discard":
            followed.discard(run_id)
        else:
            asked = followed.run_ids
            changed = followed.record_all(asked, {one: run(one) for one in "abc"})
            assert changed <= followed.keys
    for run_id in "abc":
        assert (followed.view(run_id) is None) or run_id in followed.run_ids
    assert set(followed._views) == set(followed._signatures)
