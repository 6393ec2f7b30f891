"""The stack's user interface in a real browser: curves, comparison, download; by ingress and by port-forward."""

import copy
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from playwright.sync_api import Page, expect

from tests.cluster import deploy
from tests.e2e.runs import Runs, run_id
from tests.support import browser, ingress
from tests.support.kubectl import ROOT, Kubectl

pytestmark = pytest.mark.e2e
EXAMPLE = ROOT / "examples" / "mnist" / "trainingrun.yaml"
SHOTS = ROOT / "build" / "screenshots"
LOG = "logs/attempt-1/node-0.log"
LEARNING_RATES = ("0.3", "0.1")


@pytest.fixture(scope="module")
def trained(kubectl: Kubectl, installed: None) -> Iterator[list[dict[str, Any]]]:
    """Statuses of two MNIST runs that differ in their learning rate."""
    namespace = f"e2e-ui-{uuid.uuid4().hex[:8]}"
    kubectl.apply(deploy.restricted_namespace(namespace))
    runs = Runs(kubectl, namespace)
    names = []
    for rate in LEARNING_RATES:
        run = copy.deepcopy(yaml.safe_load(EXAMPLE.read_text()))
        run["metadata"]["name"] = f"mnist-lr-{rate.replace('.', '-')}"
        run["spec"]["parameters"] |= {"lr": rate, "epochs": "3"}
        runs.apply(run)
        names.append(run["metadata"]["name"])
    yield [runs.closed(name, "Succeeded", 900) for name in names]
    kubectl("delete", "namespace", namespace, "--wait=false")


def _place(status: dict[str, Any]) -> str:
    """The part of a run's address behind the server's."""
    return str(status["tracking"]["url"]).split("/#/", 1)[1].partition("?")[0]


def _points(page: Page) -> dict[str, list[int]]:
    """Steps drawn in each chart of the page, by metric."""
    charts = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].map(c => [c.layout.title?.text || '', "
        "c.data.filter(d => d.x).map(d => ({name: d.name, metric: d.metricKey, x: [...d.x]}))])"
    )
    return {json.dumps([title, trace["name"], trace["metric"]]): trace["x"] for title, data in charts for trace in data}


def _keep(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def test_a_runs_curves_are_drawn_at_the_ingress_host(kubectl: Kubectl, trained: list[dict[str, Any]]) -> None:
    status = trained[0]
    host = deploy.UI_HOST
    with (
        ingress.address(kubectl, deploy.TRACKING_NAMESPACE, deploy.MLFLOW) as address,
        browser.page({host: address}) as page,
    ):
        page.goto(f"http://{host}/#/{_place(status)}/model-metrics")
        page.get_by_placeholder("Search metric charts").fill("val_")
        expect(page.get_by_text("val_accuracy").first).to_be_visible()
        expect(page.locator(".js-plotly-plot .scatterlayer .trace").first).to_be_visible()
        page.wait_for_function("document.querySelectorAll('.js-plotly-plot .scatterlayer .trace').length >= 2")
        drawn = _points(page)
        assert drawn
        assert all(steps == [1, 2, 3] for steps in drawn.values()), drawn
        _keep(page, "run-curves")


def test_two_runs_are_compared(kubectl: Kubectl, trained: list[dict[str, Any]]) -> None:
    ids = [run_id(status) for status in trained]
    experiment = trained[0]["tracking"]["experimentId"]
    query = f"runs={quote(json.dumps(ids))}&experiments={quote(json.dumps([experiment]))}"
    with (
        deploy.mlflow_port(kubectl) as port,
        browser.page() as page,
    ):
        page.goto(f"http://127.0.0.1:{port}/#/compare-runs?{query}")
        expect(page.get_by_text("Comparing 2 Runs from 1 Experiment")).to_be_visible()
        for rate in LEARNING_RATES:
            expect(page.get_by_role("cell", name=rate, exact=True).first).to_be_visible()
        _keep(page, "compare-runs")


def test_the_experiments_runs_are_listed_with_their_charts(kubectl: Kubectl, trained: list[dict[str, Any]]) -> None:
    experiment = trained[0]["tracking"]["experimentId"]
    with (
        deploy.mlflow_port(kubectl) as port,
        browser.page() as page,
    ):
        page.goto(
            f"http://127.0.0.1:{port}/#/experiments/{experiment}/runs?compareRunsMode=CHART&workflowType=machine_learning"
        )
        for rate in LEARNING_RATES:
            expect(page.get_by_text(f"mnist-lr-{rate.replace('.', '-')}").first).to_be_visible()
        page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length >= 2")
        _keep(page, "experiment-charts")


def test_an_artifact_is_downloaded(kubectl: Kubectl, trained: list[dict[str, Any]], tmp_path: Path) -> None:
    with (
        deploy.mlflow_port(kubectl) as port,
        browser.page() as page,
    ):
        page.goto(f"http://127.0.0.1:{port}/#/{_place(trained[0])}/artifacts/{LOG}")
        expect(page.get_by_text(re.compile("epoch")).first).to_be_visible()
        _keep(page, "artifact")
        with page.expect_download() as download:
            page.locator(f"//span[@title='{LOG}']/following::button[1]").click()  # an icon without a name
        file = tmp_path / "node-0.log"
        download.value.save_as(file)
        assert "epoch" in file.read_text()
