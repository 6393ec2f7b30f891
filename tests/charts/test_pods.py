"""Every pod of every chart: restricted Pod Security, no token, no Service links, probes, bounded resources."""

from collections.abc import Iterator

import pytest

from tests.charts import helm

pytestmark = pytest.mark.contract

CASES = [(chart, full) for chart in helm.ALL for full in (False, True)]
WORKLOADS = {"Deployment", "StatefulSet"}


def workloads(chart: str, *, full: bool) -> Iterator[helm.Manifest]:
    found = [manifest for manifest in helm.objects(chart, full=full) if manifest["kind"] in WORKLOADS]
    assert found
    yield from found


def pods(chart: str, *, full: bool) -> Iterator[helm.Manifest]:
    """The pod templates of a chart, its CronJobs' among them."""
    yield from (workload["spec"]["template"] for workload in workloads(chart, full=full))
    for manifest in helm.objects(chart, full=full):
        if manifest["kind"] == "CronJob":
            yield manifest["spec"]["jobTemplate"]["spec"]["template"]


@pytest.mark.parametrize(("chart", "full"), CASES)
def test_pods_pass_the_restricted_profile(chart: str, full: bool) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and what goes beyond it."""
    for template in pods(chart, full=full):
        pod = template["spec"]
        assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & set(pod)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} <= {"emptyDir", "configMap", "secret"}
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", ()))


@pytest.mark.parametrize(("chart", "full"), CASES)
def test_pods_get_no_service_links_and_only_the_operator_a_token(chart: str, full: bool) -> None:
    for template in pods(chart, full=full):
        pod = template["spec"]
        assert pod["enableServiceLinks"] is False
        assert pod["automountServiceAccountToken"] is (chart == "runwright")


@pytest.mark.parametrize(("chart", "full"), CASES)
def test_containers_have_resources_and_probes(chart: str, full: bool) -> None:
    for template in pods(chart, full=full):
        pod = template["spec"]
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            # The reason of an end is in the pod's status, not only in a log that goes with it.
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        for container in () if pod.get("restartPolicy") == "Never" else pod["containers"]:
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)


@pytest.mark.parametrize(("chart", "full"), CASES)
def test_selectors_and_claims_carry_nothing_that_a_new_version_changes(chart: str, full: bool) -> None:
    minimal = {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
    for workload in workloads(chart, full=full):
        spec = workload["spec"]
        assert set(spec["selector"]["matchLabels"]) == minimal
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(labels)
        for claim in spec.get("volumeClaimTemplates", ()):
            assert set(claim["metadata"]["labels"]) == minimal
    for service in (manifest for manifest in helm.objects(chart, full=full) if manifest["kind"] == "Service"):
        # Not the jobs' pods, which bear the two labels as well.
        component = {"app.kubernetes.io/component"} if chart == "mlflow" else set()
        assert set(service["spec"]["selector"]) == minimal | component


@pytest.mark.parametrize(("chart", "full"), CASES)
def test_one_pod_and_never_two_versions_at_once(chart: str, full: bool) -> None:
    for workload in workloads(chart, full=full):
        assert workload["spec"]["replicas"] == (3 if (chart, full) == ("mlflow", True) else 1)
        if workload["kind"] == "Deployment":
            assert workload["spec"]["strategy"] == {"type": "Recreate"}
        else:
            # OrderedReady would wait for ever for a pod whose image was wrong.
            assert workload["spec"]["podManagementPolicy"] == "Parallel"


@pytest.mark.parametrize("chart", ["postgresql", "object-store"])
def test_uninstalling_keeps_the_data_unless_told_otherwise(chart: str) -> None:
    [stateful] = workloads(chart, full=False)
    policy = stateful["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert policy == {"whenDeleted": "Retain", "whenScaled": "Retain"}


@pytest.mark.parametrize(
    ("given", "wanted"), [("", None), ("-", ""), ("fast", "fast")], ids=["default", "none", "named"]
)
@pytest.mark.parametrize("chart", ["postgresql", "object-store"])
def test_storage_class(chart: str, given: str, wanted: str | None) -> None:
    rendered = helm.template(chart, {"persistence": {"storageClassName": given}})
    stateful = helm.the(helm.manifests(rendered), "StatefulSet")
    [claim] = stateful["spec"]["volumeClaimTemplates"]
    assert claim["spec"].get("storageClassName") == wanted


@pytest.mark.parametrize("chart", ["postgresql", "object-store"])
def test_without_persistence_the_data_is_in_the_pod(chart: str) -> None:
    stateful = helm.the(helm.manifests(helm.template(chart, {"persistence": {"enabled": False}})), "StatefulSet")
    assert "volumeClaimTemplates" not in stateful["spec"]
    assert {"name": "data", "emptyDir": {"sizeLimit": "8Gi" if chart == "postgresql" else "20Gi"}} in (
        stateful["spec"]["template"]["spec"]["volumes"]
    )


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, "runwright/postgresql:17"),
        ({"registry": "example.com:5000"}, "example.com:5000/runwright/postgresql:17"),
        ({"digest": "sha256:" + "a" * 64}, "runwright/postgresql:17@sha256:" + "a" * 64),
        ({"tag": "", "digest": "sha256:" + "b" * 64}, "runwright/postgresql@sha256:" + "b" * 64),
    ],
)
def test_image_reference(image: dict[str, str], reference: str) -> None:
    stateful = helm.the(helm.manifests(helm.template("postgresql", {"image": image})), "StatefulSet")
    pod = stateful["spec"]["template"]["spec"]
    assert {c["image"] for c in (*pod["containers"], *pod["initContainers"])} == {reference}


def test_a_platform_may_choose_the_user() -> None:
    values = {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}
    stateful = helm.the(helm.manifests(helm.template("postgresql", values)), "StatefulSet")
    context = stateful["spec"]["template"]["spec"]["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


@pytest.mark.parametrize("chart", helm.ALL)
def test_no_variable_is_given_twice(chart: str) -> None:
    """Server-side apply, which Helm 4 uses, refuses a list of variables with the same name twice."""
    [workload] = workloads(chart, full=False)
    pod = workload["spec"]["template"]["spec"]
    overridden = [{"name": item["name"], "value": "mine"} for item in pod["containers"][0]["env"]]
    [workload] = (
        manifest
        for manifest in helm.manifests(helm.template(chart, {"env": overridden}))
        if manifest["kind"] in WORKLOADS
    )
    assert workload["spec"]["template"]["spec"]["containers"][0]["env"] == overridden
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        names = [item["name"] for item in container["env"]]
        assert len(names) == len(set(names))
