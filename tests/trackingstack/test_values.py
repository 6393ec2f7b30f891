"""The charts' values: golden files, and what real helm makes of them."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runwright.ports import Json
from runwright.trackingstack import values
from runwright.trackingstack.observed import SecretView
from runwright.trackingstack.options import Options
from runwright.trackingstack.parts import Part, managed
from tests.charts import helm
from tests.trackingstack.samples import OPTIONS, SIZES, UID, own_secrets, secret, stack

GOLDEN: Final = Path(__file__).parent / "golden"
LOCATION: Final = {
    "endpoint": "https://s3.example.com/",
    "region": "eu-central-1",
    "bucket": "backups",
    "prefix": "tracking/a",
    "addressingStyle": "virtual",
    "secretRef": {"name": "s3"},
    "caSecretRef": {"name": "s3-ca"},
}
DATABASE: Final = {
    "host": "pg.example.com",
    "port": 6432,
    "sslMode": "verify-full",
    "secretRef": {"name": "pg"},
    "caSecretRef": {"name": "pg-ca"},
}
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "minimal": {},
    "full": {
        "postgresql": {
            "version": "17.5",
            "storage": "100Gi",
            "storageClassName": "fast",
            "resources": {"requests": {"memory": "4Gi"}},
            "tlsSecretName": "postgresql-tls",
        },
        "objectStore": {
            "image": "registry.example:5000/silo/silo:2026-09-03",
            "storage": "1Ti",
            "storageClassName": "large",
            "resources": {"limits": {"memory": "8Gi"}},
            "tlsSecretName": "object-store-tls",
        },
        "server": {
            "version": "3.18.0",
            "replicas": 2,
            "resources": {"requests": {"cpu": 1, "memory": "2Gi"}, "limits": {"memory": "2Gi"}},
            "ingress": {
                "host": "MLflow.example.com",
                "className": "nginx",
                "tlsSecretName": "mlflow-example-com",
                "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"},
            },
            "auth": "Basic",
            "gc": {"schedule": "15 4 * * 0", "olderThan": "7d12h"},
            "tlsSecretName": "mlflow-tls",
        },
        "backup": {"schedule": "@daily", "keep": 30, "destination": LOCATION},
        "restoreFrom": {"backup": "20261121T020000Z", "source": {"bucket": "backups"}},
        "deletionPolicy": "Delete",
    },
    "external-database": {"postgresql": {"external": DATABASE}},
    "external-object-store": {"objectStore": {"external": {**LOCATION, "bucket": "artifacts"}}},
    "external-object-store-of-amazon": {"objectStore": {"external": {"bucket": "artifacts"}}},
    "external-both": {
        "postgresql": {"external": {"host": "pg", "secretRef": {"name": "pg"}}},
        "objectStore": {"external": {"bucket": "artifacts", "endpoint": "http://s3:9000", "secretRef": {"name": "s3"}}},
    },
}


def made(spec: Json, options: Options = OPTIONS) -> dict[Part, dict[str, Any]]:
    of = stack(spec)
    sizes = {part: values.asked_size(of, part, options) for part in SIZES}
    return {part: dict(wanted.values) for part, wanted in values.wanted(of, options, sizes, own_secrets(of)).items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden(variant: str) -> None:
    path = GOLDEN / f"{variant}.yaml"
    found = {part.chart: found for part, found in made(VARIANTS[variant]).items()}
    text = yaml.safe_dump(found, sort_keys=True)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def rendered(part: Part, found: Json) -> str:
    name = found["fullnameOverride"]
    where = ["template", name, str(helm.CHARTS / part.chart), "--namespace", "team-a"]
    result = helm.run(*where, "--values", "-", stdin=yaml.safe_dump(dict(found)))
    assert result.returncode == 0, result.stderr
    return result.stdout


RESOURCES: Final[list[Json]] = [
    {},
    {"requests": {"memory": "4Gi"}},
    {"limits": {"cpu": 2}},
    {"requests": {"cpu": "1m"}},
]


@pytest.mark.parametrize(
    "spec",
    [
        *VARIANTS.values(),
        *({name: {"resources": r} for name in ("postgresql", "objectStore", "server")} for r in RESOURCES),
    ],
    ids=str,
)
def test_the_charts_take_them_and_everything_belongs_to_the_stack(spec: Json) -> None:
    for part, found in made(spec).items():
        for manifest in helm.manifests(rendered(part, found)):
            assert [owner["uid"] for owner in manifest["metadata"]["ownerReferences"]] == [UID]
            assert manifest["metadata"]["name"].startswith(found["fullnameOverride"])


@pytest.mark.parametrize("resources", RESOURCES, ids=str)
def test_resources_of_the_spec_replace_the_defaults_as_a_whole(resources: Json) -> None:
    options = Options(defaults={part.chart: {"resources": {"limits": {"cpu": "7"}}} for part in Part})
    spec = {name: {"resources": resources} for name in ("postgresql", "objectStore", "server")}
    for part, found in made(spec, options).items():
        manifests = helm.manifests(rendered(part, found))
        workload = next(m for m in manifests if m["kind"] == part.workload.kind)
        shown = workload["spec"]["template"]["spec"]["containers"][0]["resources"]
        got = {kind: amounts for kind, amounts in shown.items() if amounts}
        assert got == {kind: {k: str(v) for k, v in amounts.items()} for kind, amounts in resources.items()}


def test_a_name_of_the_greatest_length_is_cut_nowhere() -> None:
    name = "s" * 38
    of = stack(VARIANTS["full"])
    of = of.model_copy(update={"metadata": of.metadata.model_copy(update={"name": name})})
    names = set()
    for part, wanted in values.wanted(of, OPTIONS, SIZES, {}).items():
        manifests = helm.manifests(rendered(part, wanted.values))
        names |= {m["metadata"]["name"] for m in manifests if m["kind"] in ("StatefulSet", "Deployment", "CronJob")}
    ends = ("postgresql", "object-store", "mlflow", "mlflow-backup", "mlflow-gc")
    assert names == {f"{name}-{end}" for end in ends}
    assert max(map(len, names)) <= 52


def test_the_administrators_defaults_lie_below_the_spec() -> None:
    mirror = {"image": {"registry": "mirror.example", "digest": "sha256:" + "0" * 64}, "tolerations": [{"key": "a"}]}
    options = Options(
        "example.org",
        {
            "postgresql": {**mirror, "persistence": {"size": "1Gi", "storageClassName": "cheap"}},
            "object-store": mirror,
            "mlflow": {**mirror, "existingSecret": "x", "database": {"poolSize": 3, "host": "elsewhere"}},
        },
    )
    found = made({"postgresql": {"version": "17.5"}, "objectStore": {"image": "mine/store:1"}}, options)
    database, store, server = (found[part] for part in Part)
    assert database["persistence"] == {"size": "1Gi", "storageClassName": "cheap", "whenDeleted": "Retain"}
    assert database["image"] == {"registry": "mirror.example", "tag": "17.5", "digest": ""}
    assert database["tolerations"] == [{"key": "a"}]
    assert store["image"] == {"registry": "", "repository": "mine/store", "tag": "1", "digest": ""}
    assert server["image"] == mirror["image"]
    assert server["backup"] == {"enabled": False, "image": mirror["image"]}  # the database's tools
    assert (server["database"]["poolSize"], server["database"]["host"]) == (3, "a-postgresql.team-a.svc.example.org")


def test_backups_use_the_databases_own_image() -> None:
    spec = {"postgresql": {"image": "mine/pg:18"}, "backup": {"destination": {"bucket": "backups"}}}
    found = made(spec)
    assert found[Part.SERVER]["backup"]["image"] == found[Part.DATABASE]["image"]


def test_only_mlflow_reaches_database_and_store() -> None:
    found = made({})
    labels = {"app.kubernetes.io/name": "mlflow", "app.kubernetes.io/instance": "a-mlflow"}
    for part in (Part.DATABASE, Part.STORE):
        assert found[part]["networkPolicy"]["from"] == [{"podSelector": {"matchLabels": labels}}]
    assert set(found[Part.SERVER]["networkPolicy"]) == {"databaseTo", "artifactsTo"}
    assert made(VARIANTS["external-both"])[Part.SERVER]["networkPolicy"] == {}


TREES = st.recursive(
    st.integers() | st.none() | st.text(max_size=2),
    lambda child: st.dictionaries(st.sampled_from("abc"), child, max_size=3) | st.lists(child, max_size=2),
)
MAPS = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)


@given(MAPS, MAPS)
def test_what_lies_above_wins_and_nothing_is_changed_in_place(below: dict[str, Any], above: dict[str, Any]) -> None:
    before = yaml.safe_dump([below, above])
    out = values.merged(below, above)
    assert values.merged(out, above) == out
    assert set(out) == set(below) | set(above)
    assert values.merged(below, {}) == below
    assert values.merged({}, above) == above
    assert yaml.safe_dump([below, above]) == before


@given(st.sampled_from(sorted(VARIANTS)))
def test_the_same_spec_gives_the_same_values(variant: str) -> None:
    assert made(VARIANTS[variant]) == made(VARIANTS[variant])
    assert set(made(VARIANTS[variant])) == set(managed(stack(VARIANTS[variant])))


def states(spec: Json, seen: dict[str, SecretView]) -> list[str]:
    of = stack(spec)
    found = values.wanted(of, OPTIONS, SIZES, seen).values()
    return [str(wanted.values["podAnnotations"][values.ANNOTATION]) for wanted in found]


def changed(spec: Json, **seen: SecretView) -> list[Part]:
    """Which parts' pods start again, when Secrets change."""
    before = own_secrets(stack(spec)) | {"tls": secret("tls", certificates="1"), "keys": secret("keys")}
    after = before | {view.name: view for view in seen.values()}
    both = zip(managed(stack(spec)), states(spec, before), states(spec, after), strict=True)
    return [part for part, old, new in both if old != new]


def test_pods_start_again_when_a_secret_that_they_read_is_made_anew() -> None:
    anew = replace(secret("a-object-store-credentials"), uid="another")
    assert changed({}, x=anew) == [Part.STORE, Part.SERVER]
    anew = replace(secret("keys"), uid="another")
    external = {"objectStore": {"external": {"bucket": "artifacts", "secretRef": {"name": "keys"}}}}
    assert changed(external, x=anew) == [Part.SERVER]
    jobs = {"backup": {"destination": {"bucket": "backups", "secretRef": {"name": "keys"}}}}
    assert changed(jobs, x=anew) == []


def test_pods_start_again_when_their_certificate_is_renewed() -> None:
    renewed = secret("tls", certificates="2")
    assert changed({"server": {"tlsSecretName": "tls"}}, x=renewed) == [Part.SERVER]
    assert changed({"postgresql": {"tlsSecretName": "tls"}}, x=renewed) == [Part.DATABASE]


def test_pods_do_not_start_again_for_another_owner_or_the_order_of_reading() -> None:
    owned = replace(secret("a-postgresql-credentials"), owners=({"uid": "x"},), resource_version="8")
    assert changed({}, x=owned) == []
    found = own_secrets(stack())
    assert states({}, found) == states({}, dict(reversed(found.items())))
