"""helm as a child: cancelled, too slow, without its parent; its environment."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runwright.errors import ClusterUnavailableError
from runwright.helm.process import Helm
from runwright.ports import WantedRelease
from tests.charts import helm
from tests.contract.helm import operator_stub
from tests.contract.helm.conftest import Connect
from tests.contract.helm.world import CHARTS, World, helms
from tests.support.api_proxy import ApiProxy, Rule, black_hole
from tests.support.until import until

pytestmark = pytest.mark.contract

STUCK = ".*/statefulsets/.*"


async def test_cancelled_it_ends_helm_which_records_the_failure(
    world: World, connect: Connect, proxy: ApiProxy
) -> None:
    releases, wanted = await connect(proxy), world.wanted()
    stuck = proxy.rule(Rule(method="PATCH", path=STUCK, before=black_hole))
    installing = asyncio.create_task(releases.install(wanted))
    await until(lambda: stuck.hits, "helm waits for the StatefulSet")
    assert len(helms()) == 1
    installing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await installing
    assert helms() == []
    assert [record.state for record in world.records()] == ["failed"]
    stuck.remove()
    assert (await releases.install(wanted)).current


async def test_cancelled_twice_it_still_waits_for_helms_end(world: World, connect: Connect, proxy: ApiProxy) -> None:
    releases, wanted = await connect(proxy), world.wanted()
    stuck = proxy.rule(Rule(method="PATCH", path=STUCK, before=black_hole))
    installing = asyncio.create_task(releases.install(wanted))
    await until(lambda: stuck.hits, "helm waits for the StatefulSet")
    for _ in range(3):
        installing.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await installing
    assert helms() == []


async def test_an_action_that_takes_too_long_is_ended(world: World, connect: Connect, proxy: ApiProxy) -> None:
    releases, wanted = await connect(proxy, run_seconds=5.0), world.wanted()
    proxy.rule(Rule(method="PATCH", path=STUCK, before=black_hole))
    with pytest.raises(ClusterUnavailableError, match="helm upgrade did not end within 5 s"):
        await releases.install(wanted)
    assert helms() == []


async def test_no_helm_survives_the_operator(world: World, proxy: ApiProxy, tmp_path: Path) -> None:
    stuck = proxy.rule(Rule(method="PATCH", path=STUCK, before=black_hole))
    wanted = world.wanted()
    operator = start_operator(wanted, proxy.kubeconfig(world.kubeconfig, tmp_path / "kubeconfig"))
    try:
        await until(lambda: stuck.hits, "helm waits for the StatefulSet")
        children = helms(operator.pid)
        assert len(children) == 1
    finally:
        operator.kill()
        operator.wait()
    await until(lambda: not processes_of(Path(helm.binary())) & set(children), "helm ended with it")
    assert [record.state for record in world.records()] == ["failed"]


async def test_helm_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("HELM_NAMESPACE", "elsewhere")
    program = Helm(helm.binary())
    told = dict(line.split("=", 1) for line in (await program.run("env")).splitlines())
    assert told["HELM_NAMESPACE"] == '"default"'
    own = {name for name in told if name.endswith("_HOME") or name in {"HELM_PLUGINS", "HELM_CONTENT_CACHE"}}
    assert len(own) == 5
    assert all(str(tmp_path) in told[name] for name in own)
    program.close()
    assert files(tmp_path) == []


def start_operator(wanted: WantedRelease, kubeconfig: Path) -> subprocess.Popen[bytes]:
    """Start a process that installs a release."""
    arguments = [helm.binary(), str(CHARTS), *(wanted.key.namespace, wanted.key.name, wanted.chart)]
    return subprocess.Popen(
        [sys.executable, operator_stub.__file__, *arguments, json.dumps(wanted.values), json.dumps(wanted.owner)],
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
    )


def files(folder: Path) -> list[Path]:
    """What a folder holds."""
    return list(folder.iterdir())


def processes_of(program: Path) -> set[int]:
    """The live processes that run a program, or are interpreters of it."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(program).encode() in words:
            found.add(int(folder.name))
    return found
