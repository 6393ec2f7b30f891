"""What the charts of version 0.1 took and made: its values still count, and nothing immutable has changed.

`fixtures/0.1/<chart>.yaml` sets every value that version 0.1 documented; `rendered/` is what it made of them.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts import helm

pytestmark = pytest.mark.contract

PREVIOUS = Path(__file__).parent / "fixtures" / "0.1"
# What the API server refuses to change: https://kubernetes.io/docs/concepts/workloads/controllers/
IMMUTABLE = {
    "Deployment": ("selector",),
    "StatefulSet": ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"),
    "Service": ("clusterIP",),
}


def now(chart: str) -> list[helm.Manifest]:
    return list(helm.manifests(helm.template(chart, yaml.safe_load((PREVIOUS / f"{chart}.yaml").read_text()))))


def then(chart: str) -> list[Any]:
    return [one for one in yaml.safe_load_all((PREVIOUS / "rendered" / f"{chart}.yaml").read_text()) if one]


def named(documents: list[Any]) -> dict[tuple[str, str], Any]:
    return {(one["kind"], one["metadata"]["name"]): one for one in documents}


@pytest.mark.parametrize("chart", helm.ALL)
def test_its_values_are_accepted_and_make_at_least_the_same_objects(chart: str) -> None:
    lint = helm.run("lint", "--strict", str(helm.CHARTS / chart), "--values", str(PREVIOUS / f"{chart}.yaml"))
    assert lint.returncode == 0, lint.stdout
    assert named(then(chart)).keys() <= named(now(chart)).keys()


@pytest.mark.parametrize("chart", helm.ALL)
def test_an_upgrade_changes_nothing_that_cannot_be_changed(chart: str) -> None:
    today = named(now(chart))
    for key, old in named(then(chart)).items():
        for field in IMMUTABLE.get(key[0], ()):
            assert today[key]["spec"].get(field) == old["spec"].get(field), f"{key}: {field}"


@pytest.mark.parametrize("chart", helm.STACK)
def test_its_values_mean_what_they_meant(chart: str) -> None:
    """Images, commands, resources, volumes, Secrets, users and variables are as they were."""
    today = named(now(chart))
    for key, old in named(then(chart)).items():
        if key[0] not in {"Deployment", "StatefulSet"}:
            continue
        was, is_now = old["spec"]["template"]["spec"], today[key]["spec"]["template"]["spec"]
        assert today[key]["spec"]["replicas"] == old["spec"]["replicas"]
        assert {k: v for k, v in was.items() if not k.endswith("ontainers")} == {
            k: v for k, v in is_now.items() if not k.endswith("ontainers")
        }
        for group in ("initContainers", "containers"):
            containers = {c["name"]: c for c in is_now.get(group, ())}
            for container in was.get(group, ()):
                found = containers[container["name"]]
                assert without_programs(found) == without_programs(container)
                assert variables(container).items() <= variables(found).items()


def without_programs(container: Any) -> Any:
    program = container.get("command", [])[-1:] == ["-c"]
    return {key: value for key, value in container.items() if key != "env" and not (program and key == "args")}


def variables(container: Any) -> dict[str, str]:
    return {one["name"]: json.dumps(one, sort_keys=True) for one in container["env"]}
