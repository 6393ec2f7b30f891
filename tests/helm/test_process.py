"""A child in the place of helm, under the loop that the operator uses and under Python's own."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from runwright.errors import ClusterUnavailableError, RefusedError
from runwright.helm.process import Helm
from tests.support.until import until

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
WAITS = "trap 'echo ended > ended; exit 1' TERM; echo started > started; while :; do sleep 0.05; done"
STUBBORN = "trap '' TERM; echo started > started; while :; do sleep 0.05; done"

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    def run(test: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(test)

    return run


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Helm]:
    """Make a helm that is a shell script, run in the test's folder."""

    def make(script: str, **options: Any) -> Helm:
        program = tmp_path / "helm"
        program.write_text(f"#!/bin/sh\ncd {tmp_path}\necho $$ > pid\n{script}\n")
        program.chmod(0o755)
        return Helm(str(program), **options)

    return make


def is_alive(folder: Path) -> bool:
    """Tell whether the script still runs."""
    pid = folder / "pid"
    return pid.exists() and Path(f"/proc/{pid.read_text().strip()}").exists()


def test_input_output_and_arguments_pass(run: Run, make: Callable[..., Helm]) -> None:
    async def test() -> None:
        assert await make('echo "$@"; cat; echo noise >&2').run("a", "b c", stdin="x: é") == "a b c\nx: é"
        assert await make("head -c 1 >/dev/null; seq 200000").run("a", stdin="x" * 200_000) == "".join(
            f"{number}\n" for number in range(1, 200_001)
        )
        assert await make("exit 0").run("unread", stdin="x" * 1_000_000) == ""

    run(test())


def test_failures_are_told(run: Run, make: Callable[..., Helm], tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(RefusedError, match=r"^helm upgrade: no such thing$"):
            await make("echo told; echo Error: no such thing >&2; exit 3").run("upgrade")
        with pytest.raises(ClusterUnavailableError, match=r"^helm upgrade was killed by signal 9$"):
            await make("kill -9 $$").run("upgrade")
        with pytest.raises(RefusedError, match=r"cannot run .*/absent: No such file or directory; RUNWRIGHT_HELM"):
            await Helm(str(tmp_path / "absent")).run("version")

    run(test())


@pytest.mark.parametrize("times", [1, 3])
def test_cancelled_it_ends_the_child_and_waits_for_it(
    run: Run, make: Callable[..., Helm], tmp_path: Path, times: int
) -> None:
    async def test() -> None:
        running = asyncio.create_task(make(WAITS).run("upgrade"))
        await until((tmp_path / "started").exists, "it runs")
        for _ in range(times):
            running.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not is_alive(tmp_path)

    run(test())
    assert (tmp_path / "ended").exists()


def test_a_child_that_takes_too_long_is_ended(run: Run, make: Callable[..., Helm], tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(ClusterUnavailableError, match=r"helm upgrade did not end within 1 s; it was stopped"):
            await make(WAITS, run_seconds=1.0).run("upgrade")
        assert not is_alive(tmp_path)

    run(test())


def test_a_child_that_does_not_end_on_sigterm_is_killed(run: Run, make: Callable[..., Helm], tmp_path: Path) -> None:
    async def test() -> None:
        running = asyncio.create_task(make(STUBBORN, grace_seconds=0.2).run("upgrade"))
        await until((tmp_path / "started").exists, "it runs")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not is_alive(tmp_path)

    run(test())


def test_no_more_than_two_run_at_once(run: Run, make: Callable[..., Helm], tmp_path: Path) -> None:
    async def test() -> None:
        program = make('mkdir "$1" && while test ! -e go; do sleep 0.01; done')
        running = [asyncio.create_task(program.run(name)) for name in ("one", "two", "three")]
        await until(lambda: (tmp_path / "one").exists() and (tmp_path / "two").exists(), "two run")
        assert not (tmp_path / "three").exists()
        (tmp_path / "go").touch()
        await asyncio.gather(*running)
        assert (tmp_path / "three").exists()

    run(test())
