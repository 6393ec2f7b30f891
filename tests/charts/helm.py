"""Finds helm and renders the charts; what it cannot find or render is an error with a remedy."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
CHARTS: Final = ROOT / "charts"
STACK: Final = ("postgresql", "object-store", "mlflow")
ALL: Final = (*STACK, "runwright")
VALUES: Final = Path(__file__).parent / "values"
NAMESPACE: Final = "tracking-ns"

Manifest = Mapping[str, Any]


@cache
def binary() -> str:
    """Return helm's path: $HELM, PATH, or what the test cluster built.

    Raises:
        FileNotFoundError: there is none; the message names the remedy.
    """
    cluster = ROOT / "build" / "cluster" / "cluster.json"
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    candidates = (
        os.environ.get("HELM"),
        shutil.which("helm"),
        json.loads(cluster.read_text()).get("bin", {}).get("helm") if cluster.exists() else None,
        str(caches / "runwright" / "testbed" / "bin" / "helm"),
    )
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            return candidate
    raise FileNotFoundError("helm is missing: install it, or set HELM to its path, or run `make cluster-up`")


def run(*args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm, whatever it answers."""
    return subprocess.run([binary(), *args], input=stdin, capture_output=True, text=True, check=False)


def template(chart: str, values: Mapping[str, Any] | None = None, *, full: bool = False) -> str:
    """Render a chart with its defaults, or with every value set, and then `values`."""
    result = _template(chart, values or {}, full=full)
    assert result.returncode == 0, f"helm template {chart}: {result.stderr}"
    return result.stdout


def refusal(chart: str, values: Mapping[str, Any]) -> str:
    """Return what helm says to values that it must not accept."""
    result = _template(chart, values)
    assert result.returncode != 0, f"helm accepted {values}"
    return result.stderr


def attempt(chart: str, values: Mapping[str, Any]) -> str:
    """Return the rendering, or the refusal."""
    result = _template(chart, values)
    return result.stderr if result.returncode else result.stdout


def of_stack(chart: str) -> str:
    """Render a chart of the stack `team` as the operator does."""
    where = [f"team-{chart}", str(CHARTS / chart), "--namespace", NAMESPACE]
    result = run("template", *where, "--values", str(VALUES / "stack" / f"{chart}.yaml"))
    assert result.returncode == 0, f"helm template {chart}: {result.stderr}"
    return result.stdout


def _template(chart: str, values: Mapping[str, Any], *, full: bool = False) -> subprocess.CompletedProcess[str]:
    files = ["--values", str(VALUES / f"{chart}.yaml")] if full else []
    where = ["template", chart, str(CHARTS / chart), "--namespace", NAMESPACE]
    return run(*where, *files, "--values", "-", stdin=yaml.safe_dump(values))


def manifests(rendered: str) -> Sequence[Manifest]:
    """Parse a rendering, in an order of its own that does not depend on helm's version."""
    documents = [document for document in yaml.safe_load_all(rendered) if document]
    return sorted(documents, key=lambda d: (d["kind"], d["metadata"].get("namespace", ""), d["metadata"]["name"]))


@cache
def objects(chart: str, *, full: bool = False) -> Sequence[Manifest]:
    """Return a chart's objects, with default or with all other values."""
    return manifests(template(chart, full=full))


def the(documents: Sequence[Manifest], kind: str, name: str | None = None) -> Any:
    """Return the one object of a kind (and name)."""
    found = [d for d in documents if d["kind"] == kind and name in {None, d["metadata"]["name"]}]
    assert len(found) == 1, f"{len(found)} objects {kind} {name or ''}"
    return found[0]


def environment(container: Manifest) -> Mapping[str, str]:
    """Return a container's literal environment variables."""
    return {item["name"]: item["value"] for item in container["env"] if "value" in item}
