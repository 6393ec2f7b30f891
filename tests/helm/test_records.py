"""Helm's records: reading, healing, owners."""

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.errors import RefusedError
from runwright.helm.records import LABEL_DIGEST, LABEL_OWNER, Record, decode, encode, summary

OWNER = {"apiVersion": "runwright.dev/v1alpha1", "kind": "TrackingStack", "name": "a", "uid": "u1"}
OTHER = {**OWNER, "uid": "u0"}
SOMEBODY = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u9"}

texts = st.text()  # with everything but surrogates, as Go's JSON
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts, children, max_size=3),
    max_leaves=20,
)


def record(state: str = "deployed", revision: int = 1, owners: tuple[Any, ...] = (), **labels: str) -> Record:
    body = {
        "name": "a-mlflow",
        "version": revision,
        "info": {"status": state, "description": "Install complete", "first_deployed": "2026-11-21T18:00:00Z"},
        "chart": {"metadata": {"name": "mlflow", "version": "0.1.0", "appVersion": "3.17.2"}, "templates": []},
        "manifest": "---\nkind: Service\n",
        "unknown": {"to": "us"},
    }
    metadata: dict[str, Any] = {
        "name": f"sh.helm.release.v1.a-mlflow.v{revision}",
        "uid": f"record-{revision}",
        "resourceVersion": "41",
        "labels": {"owner": "helm", "name": "a-mlflow", "status": state, "version": str(revision)}
        | {name.replace("__", "/").replace("_", "-"): value for name, value in labels.items()},
    }
    if owners:
        metadata["ownerReferences"] = list(owners)
    return Record({"metadata": metadata, "data": {"release": encode(body)}})


def labelled(owner: str = "", digest: str = "", **options: Any) -> Record:
    made = record(**options)
    more = {name: value for name, value in ((LABEL_OWNER, owner), (LABEL_DIGEST, digest)) if value}
    metadata = made.config_map["metadata"]
    return Record({**made.config_map, "metadata": {**metadata, "labels": {**metadata["labels"], **more}}})


@given(st.dictionaries(texts, values))
def test_what_is_written_is_read_again(body: dict[str, Any]) -> None:
    assert decode(encode(body)) == body
    assert encode(body) == encode(dict(body))


@given(st.dictionaries(texts, values))
def test_what_helm_writes_is_read(body: dict[str, Any]) -> None:
    """As Go does: escaped differently, best compression, and once without compression at all."""
    raw = json.dumps(body).encode()
    assert decode(base64.b64encode(gzip.compress(raw, 9)).decode()) == body
    assert decode(base64.b64encode(raw).decode()) == body


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
def test_anything_else_is_a_value_error(data: str) -> None:
    try:
        decode(data)
    except ValueError:
        return
    raise AssertionError("only a JSON object is a record")


@given(st.dictionaries(texts, values), st.data())
def test_a_record_that_was_cut_off_is_a_value_error(body: dict[str, Any], data: st.DataObject) -> None:
    written = encode(body)
    cut = data.draw(st.integers(0, len(written) - 1))
    with pytest.raises(ValueError, match=r".*"):
        decode(written[:cut])


def test_a_record_that_cannot_be_read_says_what_to_do() -> None:
    for broken in ({}, {"data": None}, {"data": {"release": "!"}}, {"data": {"release": encode({"info": {}})}}):
        bad = Record({"metadata": {"name": "sh.helm.release.v1.a.v1"}, **broken})
        with pytest.raises(RefusedError, match=r"ConfigMap sh.helm.release.v1.a.v1 cannot be read.*delete"):
            _ = bad.state


def test_the_newest_record_is_summed_up() -> None:
    told = summary([record("superseded", 4), labelled(revision=5, digest="d")], digest="d", owner={})
    assert told is not None
    assert (told.chart, told.version, told.app_version) == ("mlflow", "0.1.0", "3.17.2")
    assert (told.revision, told.state, told.description, told.current) == (5, "deployed", "Install complete", True)
    assert summary([], digest="d", owner=OWNER) is None


@pytest.mark.parametrize(
    ("state", "digest", "owners", "current"),
    [
        ("deployed", "d", (OWNER,), True),
        ("deployed", "d", (SOMEBODY, OWNER), True),
        ("deployed", "other", (OWNER,), False),
        ("deployed", "", (OWNER,), False),
        ("deployed", "d", (), False),
        ("failed", "d", (OWNER,), False),
        ("pending-upgrade", "d", (OWNER,), False),
    ],
)
def test_current_is_what_was_made_of_it_ended_well_and_has_its_owner(
    state: str, digest: str, owners: tuple[Any, ...], current: bool
) -> None:
    told = summary([labelled(state=state, digest=digest, owners=owners)], digest="d", owner=OWNER)
    assert told is not None
    assert told.current is current


def test_one_old_record_without_its_owner_is_enough() -> None:
    records = [record("superseded", 1), labelled(revision=2, digest="d", owners=(OWNER,))]
    told = summary(records, digest="d", owner=OWNER)
    assert told is not None
    assert not told.current


@pytest.mark.parametrize(
    ("owners", "label", "foreign"),
    [
        ((OWNER,), "u1", False),
        ((), "u1", False),
        ((), "", False),  # made by hand
        ((OTHER,), "u0", True),
        ((OTHER,), "", True),
        ((), "u0", True),  # helm rewrote it, and the stack was deleted before anybody gave it its owner again
        ((OTHER, OWNER), "u0", False),
        ((SOMEBODY,), "u1", False),
        ((SOMEBODY,), "u0", True),
    ],
)
def test_whose_a_record_is(owners: tuple[Any, ...], label: str, foreign: bool) -> None:
    one = labelled(owner=label, owners=owners)
    assert one.is_foreign(OWNER) is foreign
    assert not one.is_foreign({})


def test_owners_of_others_are_kept() -> None:
    patch = record(owners=(SOMEBODY,)).owned(OWNER)
    assert patch == {"metadata": {"resourceVersion": "41", "ownerReferences": [SOMEBODY, OWNER]}}


@pytest.mark.parametrize("state", ["pending-install", "pending-upgrade", "pending-rollback", "uninstalling"])
def test_unlocking_changes_the_state_and_nothing_else(state: str) -> None:
    one = record(state)
    patch = one.unlocked()
    assert patch["metadata"] == {"resourceVersion": "41", "labels": {"status": "failed"}}
    after, before = decode(patch["data"]["release"]), dict(one.body)
    assert after["info"].pop("status") == "failed"
    assert state in after["info"].pop("description")
    expected = {key: value for key, value in before["info"].items() if key not in {"status", "description"}}
    assert after.pop("info") == expected
    before.pop("info")
    assert after == before


def test_a_label_that_is_no_number_sorts_first() -> None:
    odd = Record({"metadata": {"name": "x", "labels": {"version": "four"}}})
    assert odd.revision == 0
