"""Log lines for machines and for people."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from runwright.operator import logs
from runwright.ports import Key, Kind

RUN = {"metadata": {"namespace": "team-a", "name": "mnist", "uid": "u-1"}}


@pytest.fixture(autouse=True)
def restored_loggers() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    libraries = {name: logging.getLogger(name).level for name in logs.QUIET}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    for name, before in libraries.items():
        logging.getLogger(name).setLevel(before)


def test_json_lines_carry_the_object_in_work() -> None:
    stream = io.StringIO()
    logs.configure("INFO", "json", stream)
    with logs.working_on(Kind.TRAINING_RUN, Key("team-a", "mnist"), RUN):
        logging.getLogger("runwright.x").info("hello %s", "ä\n")
    logging.getLogger("runwright.x").info("after")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "info",
        "message": "hello ä\n",
        "logger": "runwright.x",
        "kind": "TrainingRun",
        "namespace": "team-a",
        "name": "mnist",
        "uid": "u-1",
    }
    assert "name" not in second


def test_a_traceback_stays_on_its_line() -> None:
    stream = io.StringIO()
    logs.configure("INFO", "json", stream)
    try:
        int("boom")
    except ValueError:
        logging.getLogger("x").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["error"]


def test_text_lines_name_the_object() -> None:
    stream = io.StringIO()
    logs.configure("INFO", "text", stream)
    with logs.working_on(Kind.TRAINING_RUN, Key("team-a", "mnist")):
        logging.getLogger("x").warning("slow")
    assert stream.getvalue().endswith("WARNING [team-a/mnist] slow\n")


def test_libraries_use_the_same_format_and_are_quiet() -> None:
    stream = io.StringIO()
    logs.configure("DEBUG", "json", stream)
    logging.getLogger("kopf.activities").info("chatter")
    logging.getLogger("kopf.objects").warning(
        "heard", extra={"k8s_ref": {"kind": "Job", "name": "j", "namespace": "n"}}
    )
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line) | {"time": ""} == {
        "time": "",
        "level": "warning",
        "message": "heard",
        "logger": "kopf.objects",
        "kind": "Job",
        "namespace": "n",
        "name": "j",
    }
