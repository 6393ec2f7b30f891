"""The container's exit code is the script's, and whoever reads the log or the termination message learns why."""

import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.inpod.processes import exit_code
from tests.inpod.launched import Pod

pytestmark = pytest.mark.slow

DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGTERM, signal.SIGPIPE)


@settings(max_examples=12)
@given(code=st.integers(0, 255))
def test_the_script_s_code_is_the_container_s(code: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        launched = Pod(Path(folder)).run("sh", "-c", f"exit {code}")
        assert launched.process.returncode == code
        assert launched.told.exit_code == code
        assert launched.err == (f"[runwright] the script exited with code {code}\n".encode() if code else b"")


@given(code=st.integers(0, 255))
def test_wait_statuses_of_codes(code: int) -> None:
    assert exit_code(code << 8) == code


@given(number=st.integers(1, 126), core=st.booleans())
def test_wait_statuses_of_signals(number: int, core: bool) -> None:
    assert exit_code(number | (0x80 if core else 0)) == 128 + number


@pytest.mark.parametrize("number", DEADLY)
def test_a_signal_that_the_script_dies_of_is_named(pod: Pod, number: signal.Signals) -> None:
    launched = pod.run("sh", "-c", f"kill -{number.value} $$")
    assert launched.process.returncode == 128 + number
    assert f"killed by {number.name} (exit code {128 + number})".encode() in launched.err
    assert not launched.told.terminated  # it did this itself


def test_arguments_arrive_verbatim(pod: Pod) -> None:
    words = ["--", "a b", "$HOME", "", "*", "é\n'\""]
    launched = pod.run("printf", "%s|", *words)
    assert launched.out.decode() == "".join(f"{word}|" for word in words)


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("no-such-program", "no-such-program is not on the image's PATH"),
        ("/no/such/program", "/no/such/program does not exist in the image or its volumes"),
        ("", "its first word is empty"),
    ],
)
def test_an_unknown_command(pod: Pod, program: str, why: str) -> None:
    launched = pod.run(program, "x")
    assert launched.process.returncode == 127
    assert launched.err.decode() == f"[runwright] spec.command cannot be started: {why}\n"
    assert launched.told.message == f"spec.command cannot be started: {why}"
    assert launched.told.exit_code is None  # it never began


def test_a_command_in_the_working_directory(pod: Pod) -> None:
    (pod.folder / "train.sh").write_text("#!/bin/sh\n")
    launched = pod.run("train.sh")
    assert launched.process.returncode == 127
    assert b"write ./train.sh" in launched.err


@pytest.mark.parametrize(
    ("content", "mode", "code", "why"),
    [
        ("#!/bin/sh\n", 0o644, 126, "is not executable by this user"),
        ("no first line\n", 0o755, 126, "a script needs a first line such as #!/bin/sh"),
        ("#!/no/such/python\n", 0o755, 127, "the interpreter that the first line of"),
    ],
)
def test_what_cannot_be_executed(pod: Pod, content: str, mode: int, code: int, why: str) -> None:
    script = pod.folder / "train.sh"
    script.write_text(content)
    script.chmod(mode)
    launched = pod.run(str(script))
    assert launched.process.returncode == code
    assert why.encode() in launched.err


def test_a_folder_is_no_program(pod: Pod) -> None:
    assert pod.run("/tmp").process.returncode == 126  # noqa: S108  # any folder


def test_no_command_at_all(pod: Pod) -> None:
    launched = pod.run()
    assert launched.process.returncode == 127
    assert launched.err == b"[runwright] there is no command to start: set spec.command\n"
