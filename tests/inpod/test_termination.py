"""The termination message always fits, always parses, and loses its least important part first."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.inpod.termination import MESSAGE_BYTES, encoded, last_lines
from runwright.inpod.told import Told
from tests.inpod.artifact_server import ArtifactServer
from tests.inpod.launched import Pod, said

FIELDS: dict[str, Any] = {
    "exitCode": 1,
    "terminated": True,
    "log": {"path": "logs/attempt-12/node-1023.log", "bytes": 16777300, "cut": 10**12},
    "checkpoint": {"path": "/checkpoints/" + "é" * 200, "step": 10**9, "time": 1.7e9},
    "resumedFrom": "/checkpoints/" + "é" * 200,
}


@given(output=st.binary(max_size=5000), message=st.text(max_size=1100), tail=st.integers(-1, 5000))
def test_it_fits_and_parses(output: bytes, message: str, tail: int) -> None:
    data = encoded({**FIELDS, "message": message}, output, tail)
    assert len(data) <= MESSAGE_BYTES
    told = Told.of(data.decode())
    assert told is not None
    assert told.log == "logs/attempt-12/node-1023.log"
    assert told.terminated
    assert message.startswith(told.message) or max(message) >= "\ud800"  # half a surrogate pair becomes "?"


@pytest.mark.parametrize(
    "output", [b"\x00" * 5000, b"\x1b[31m" * 1000, b"\xff" * 5000, b'"\\\n' * 2000, "é😀".encode() * 1000]
)
def test_output_that_grows_when_escaped(output: bytes) -> None:
    data = encoded({**FIELDS, "message": "\x01" * 1024}, output)
    assert len(data) <= MESSAGE_BYTES
    assert json.loads(data)["exitCode"] == 1
    assert json.loads(data)["message"] == "\x01" * len(json.loads(data)["message"])


@given(st.lists(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=60), max_size=60))
def test_the_tail_is_whole_lines(lines: list[str]) -> None:
    output = "".join(line + "\n" for line in lines).encode()
    tail = last_lines(output, 200)
    assert len(tail) <= 200
    assert output.rstrip().decode().endswith(tail)
    assert not tail or tail.split("\n")[0] in [line.rstrip() for line in lines] + lines


def test_one_long_line_gives_its_end() -> None:
    assert last_lines(b"x" * 500 + b"end", 100) == "x" * 97 + "end"
    assert last_lines(b"anything", 0) == ""


@pytest.mark.parametrize("message", ["", "Killed", "[1]", "{}", '{"runwright": 2}', "null", '{"runwright"'])
def test_what_is_not_ours_is_not_read(message: str) -> None:
    assert Told.of(message) is None


@given(
    st.dictionaries(
        st.sampled_from(["exitCode", "log", "checkpoint", "terminated", "tail", "outOfMemory", "message"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.dictionaries(st.sampled_from(["path", "step", "time"]), inner, max_size=3),
        ),
    )
)
def test_a_forged_message_is_read_without_an_error(fields: dict[str, Any]) -> None:
    """A script can write what it likes there."""
    assert Told.of(json.dumps({"runwright": 1, **fields})) is not None


def test_the_end_of_the_output_is_told(pod: Pod) -> None:
    launched = pod.run("sh", "-c", "seq 1000; echo Traceback... >&2; exit 1")
    assert launched.told.tail.endswith("\n999\n1000\nTraceback...")
    assert 1900 < len(launched.told.tail) <= 2048
    assert len(launched.message.encode()) <= MESSAGE_BYTES


def test_an_administrator_may_want_no_output_in_the_status(pod: Pod) -> None:
    launched = pod.run("sh", "-c", "echo secret; exit 1", env={"RUNWRIGHT_LOG_TAIL_BYTES": "0"})
    assert launched.told.tail == ""
    assert "secret" not in launched.message


def test_the_script_s_own_message_is_kept(pod: Pod) -> None:
    launched = pod.run("sh", "-c", 'echo "loss is NaN" > "$RUNWRIGHT_TERMINATION_LOG"; exit 1')
    assert launched.told.message == "loss is NaN"
    assert launched.told.exit_code == 1


def test_without_a_termination_log_nothing_is_made(pod: Pod) -> None:
    missing = pod.folder / "missing"
    assert pod.run("true", env={"RUNWRIGHT_TERMINATION_LOG": str(missing)}).process.returncode == 0
    assert not missing.exists()


def test_a_success_is_short(tracked: Pod, server: ArtifactServer) -> None:
    message = said(tracked.run("true"))
    assert message == {
        "runwright": 1,
        "exitCode": 0,
        "log": {"path": "logs/attempt-1/node-1.log", "bytes": 0, "cut": 0},
    }
