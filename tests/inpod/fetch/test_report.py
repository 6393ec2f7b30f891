"""The termination message: valid JSON, never more than the kubelet keeps, without secrets."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runwright.inpod.fetch.checkout import Checkout
from runwright.inpod.fetch.credentials import Redactor
from runwright.inpod.fetch.git import Fetched
from runwright.inpod.fetch.problems import FetchError, Reason
from runwright.inpod.fetch.report import DatasetResult, Report, known_commit, message, save, write

COMMIT = "c" * 40
RESULTS = st.lists(
    st.builds(
        DatasetResult,
        st.text("abc-", min_size=1, max_size=63),
        st.just("d" * 64),
        st.integers(0, 2**60),
        st.integers(0, 10**9),
        st.booleans(),
        st.floats(0, 10**6),
    ),
    max_size=32,
)
ERRORS = st.none() | st.builds(FetchError, st.sampled_from(Reason), st.text(max_size=300), st.text(max_size=5000))


@given(RESULTS, ERRORS, st.booleans())
def test_the_message_fits_and_keeps_what_matters(
    datasets: list[DatasetResult], error: FetchError | None, with_git: bool
) -> None:
    git = Fetched(COMMIT, "refs/heads/" + "m" * 240, Checkout(10**9, 10**15), 1.0) if with_git else None
    report = Report(COMMIT if with_git else "", git, datasets, error, 1.0)
    text = message(report, Redactor())
    assert len(text.encode()) <= 4096
    content = json.loads(text)
    kept = content.get("datasets", [])
    assert [one["name"] for one in kept] == [one.name for one in datasets[: len(kept)]]
    assert len(kept) + content.get("datasetsOmitted", 0) == len(datasets)
    assert len(kept) >= min(len(datasets), 12)
    if with_git:
        assert content["git"]["commit"] == COMMIT
    if error:
        assert content["error"]["reason"] == error.reason.label
        assert content["error"]["exitCode"] == error.reason.exit_code


def test_every_reason_has_an_exit_code_of_its_own() -> None:
    codes = [reason.exit_code for reason in Reason]
    assert len(set(codes)) == len(codes)
    assert len({reason.label for reason in Reason}) == len(codes)
    assert not {0, 1, 2, 126, 127, 137, 139, 143} & set(codes)  # what shells, Python and signals use


def test_secrets_are_blotted_out() -> None:
    redactor = Redactor()
    redactor.learn('s3cret/with"quote', "line one\nline two\n", None, "abc")
    error = FetchError(Reason.INTERNAL, "fetch", 'the server said s3cret/with"quote and line two, abc')
    text = message(Report(error=error), redactor)
    assert "s3cret" not in text
    assert "line two" not in text
    assert "abc" in text  # too short to be worth it


def test_the_file_has_everything_and_tells_the_commit_again(tmp_path: Path) -> None:
    report = Report(COMMIT, None, [DatasetResult("d" * 63, "e" * 64, 1, 1, False, 1.0)] * 32)
    result = tmp_path / "shared" / "fetch.json"
    write(report, Redactor(), tmp_path / "none" / "message", result)  # the message's folder is missing: only said
    assert len(json.loads(result.read_text())["datasets"]) == 32
    assert known_commit(result) == COMMIT
    save(Report(), Redactor(), result)
    assert known_commit(result) is None
    assert known_commit(tmp_path / "nothing") is None
    assert known_commit(None) is None
    result.write_text("{")
    assert known_commit(result) is None
