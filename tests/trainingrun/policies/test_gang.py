from typing import Any

import pytest

from runwright.trainingrun.observed import PodView
from runwright.trainingrun.policies.gang import split_since, spread, told
from tests.trainingrun.samples import ago, failed_pod, pod, running_pod


def waiting(index: int, since: float, **changes: Any) -> PodView:
    return pod(index, unschedulable="no GPU is free", unschedulable_since=ago(since), **changes)


def test_a_gang_that_holds_a_part_of_its_nodes_is_split() -> None:
    assert split_since((running_pod(0), waiting(1, 90)), 2) == ago(90)


def test_each_further_place_starts_the_clock_anew() -> None:
    pods = (running_pod(0, scheduled=ago(200)), running_pod(1, scheduled=ago(30)), waiting(2, 90))
    assert split_since(pods, 3) == ago(30)


def test_the_first_that_finds_none_counts() -> None:
    assert split_since((running_pod(0), waiting(1, 90), waiting(2, 20)), 3) == ago(90)


@pytest.mark.parametrize(
    "pods",
    [
        (),
        (running_pod(0), running_pod(1)),
        (waiting(0, 90), waiting(1, 90)),  # it holds nothing that others wait for
        (failed_pod(0), waiting(1, 90)),  # what it held is free again
        (running_pod(0), waiting(1, 90, deleting=True)),
        (running_pod(0), pod(1)),  # the image is being pulled
    ],
)
def test_others_are_not(pods: tuple[PodView, ...]) -> None:
    assert split_since(pods, 2) is None


def test_one_node_is_no_gang() -> None:
    assert split_since((running_pod(0), waiting(1, 90)), 1) is None


def test_it_says_what_is_missing() -> None:
    pods = (running_pod(0), waiting(1, 90))
    assert told(pods, 2) == "1 of 2 nodes found a place, the others did not: no GPU is free"


def test_two_runs_do_not_come_back_together() -> None:
    places = {spread(f"uid-{n}", 1) for n in range(50)}
    assert len(places) == 50
    assert all(0 <= place < 1 for place in places)
    assert max(places) - min(places) > 0.8
    assert spread("uid-1", 1) == spread("uid-1", 1) != spread("uid-1", 2)
