"""The tracking server's settings, checked against MLflow's own code where it decides."""

from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.charts import helm

pytestmark = pytest.mark.contract

POD_IP = "10.244.0.7"


def server(values: dict[str, Any] | None = None, *, full: bool = False) -> Any:
    deployment = helm.the(helm.manifests(helm.template("mlflow", values, full=full)), "Deployment")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    return container


def allowed_hosts(values: dict[str, Any] | None = None, *, full: bool = False) -> list[str]:
    hosts = helm.environment(server(values, full=full))["MLFLOW_SERVER_ALLOWED_HOSTS"]
    return hosts.replace("$(POD_IP)", POD_IP).split(",")


NAMES = ("mlflow", "mlflow.tracking-ns", "mlflow.tracking-ns.svc", "mlflow.tracking-ns.svc.cluster.local")


@pytest.mark.parametrize(
    "host",
    [
        *NAMES,
        *(f"{name}:5000" for name in NAMES),
        "localhost:41234",
        "127.0.0.1:5000",
        POD_IP,
        f"{POD_IP}:5000",
    ],
)
def test_the_server_accepts_every_name_it_has(host: str) -> None:
    from mlflow.server.security_utils import is_allowed_host_header  # noqa: PLC0415 - a second to import

    assert is_allowed_host_header(allowed_hosts(), host)


@pytest.mark.parametrize(
    "host", ["evil.example.com", "mlflow.evil.example.com", "10.evil.example.com", "10.244.0.8:5000", "", "mlflow:80"]
)
def test_the_server_refuses_other_names(host: str) -> None:
    from mlflow.server.security_utils import is_allowed_host_header  # noqa: PLC0415 - a second to import

    assert not is_allowed_host_header(allowed_hosts(), host)


def test_names_follow_release_port_and_cluster_domain() -> None:
    hosts = allowed_hosts(full=True)
    assert {"full-name", "full-name:8443", "full-name.tracking-ns.svc.cluster.example:8443"} <= set(hosts)
    assert {"mlflow.example.com", "mlflow.example.com:*", "mlflow.example.org", "10.244.*"} <= set(hosts)
    assert "mlflow:5000" not in hosts


@pytest.mark.parametrize(
    ("origin", "blocked"),
    [
        ("https://mlflow.example.com", False),
        ("https://mlflow.example.com:8443", False),
        ("https://notebooks.example.org", False),
        ("http://localhost:5000", False),
        ("https://evil.example.com", True),
        ("https://mlflow.example.com.evil.example.com", True),
    ],
)
def test_browsers_may_write_from_the_ingress_host_only(origin: str, blocked: bool) -> None:
    from mlflow.server.security_utils import should_block_cors_request  # noqa: PLC0415 - a second to import

    origins = helm.environment(server(full=True))["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"].split(",")
    assert should_block_cors_request(origin, "POST", origins) is blocked


def test_one_worker_without_jobs_and_telemetry() -> None:
    environment = helm.environment(server())
    assert environment["MLFLOW_WORKERS"] == "1"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["MLFLOW_SERVE_ARTIFACTS"] == "true"
    assert environment["MLFLOW_UVICORN_OPTS"] == "--timeout-keep-alive 75"


def test_no_password_in_the_uri_and_its_driver_is_named() -> None:
    for values in (None, {"database": {"host": "db.example.com", "port": 6432}}):
        uri = urlsplit(helm.environment(server(values))["MLFLOW_BACKEND_STORE_URI"])
        assert uri.scheme == "postgresql+psycopg2"
        assert uri.username is None
        assert uri.password is None


@pytest.mark.parametrize(
    ("prefix", "destination"), [("", "s3://mlflow"), ("a/b", "s3://mlflow/a/b"), ("/a/", "s3://mlflow/a")]
)
def test_artifacts_destination(prefix: str, destination: str) -> None:
    environment = helm.environment(server({"artifacts": {"prefix": prefix}}))
    assert environment["MLFLOW_ARTIFACTS_DESTINATION"] == destination


def test_amazon_with_a_workload_identity() -> None:
    values = {
        "artifacts": {"endpoint": "", "existingSecret": "", "addressingStyle": "auto"},
        "serviceAccountName": "sa",
    }
    documents = helm.manifests(helm.template("mlflow", values))
    pod = helm.the(documents, "Deployment")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "sa"
    for container in (*pod["containers"], *pod["initContainers"]):
        names = {item["name"] for item in container["env"]}
        assert not {"AWS_ACCESS_KEY_ID", "AWS_EC2_METADATA_DISABLED", "MLFLOW_S3_ENDPOINT_URL"} & names


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("http://object-store:9000", 9000), ("https://s3.example.com", 443), ("http://s3.example.com", 80), ("", 443)],
)
def test_egress_reaches_the_object_store(endpoint: str, port: int) -> None:
    documents = helm.manifests(helm.template("mlflow", {"artifacts": {"endpoint": endpoint}}))
    ports = [p["port"] for rule in helm.the(documents, "NetworkPolicy")["spec"]["egress"] for p in rule["ports"]]
    assert ports == [53, 53, 5432, port]


def test_programs_arrive_as_they_are_written() -> None:
    pod = helm.the(helm.objects("mlflow"), "Deployment")["spec"]["template"]["spec"]
    for container in pod["initContainers"]:
        source = (helm.CHARTS / "mlflow" / "files" / f"{container['name']}.py").read_text()
        assert container["args"] == [source]
        # Kubernetes would replace $(NAME) and shorten $$.
        assert "$(" not in source
        assert "$$" not in source


def test_a_bucket_that_others_make_is_waited_for() -> None:
    pod = helm.the(helm.manifests(helm.template("mlflow", {"artifacts": {"createBucket": False}})), "Deployment")
    bucket, migrate = pod["spec"]["template"]["spec"]["initContainers"]
    assert (bucket["name"], migrate["name"]) == ("bucket", "migrate")
    assert {"name": "CREATE", "value": "false"} in bucket["env"]


def test_postgresql_is_configured_by_its_file() -> None:
    values = {"configuration": {"work_mem": "64MB", "log_line_prefix": "it's %m "}, "maxConnections": 1048}
    configuration = helm.the(helm.manifests(helm.template("postgresql", values)), "ConfigMap")
    assert configuration["data"]["postgresql.conf"].splitlines() == [
        "listen_addresses = '*'",
        "port = 5432",
        "max_connections = 1048",
        "password_encryption = 'scram-sha-256'",
        "log_line_prefix = 'it''s %m '",
        "shared_buffers = '128MB'",
        "work_mem = '64MB'",
    ]


def test_postgresql_accepts_more_connections_than_mlflow_opens() -> None:
    values = {chart: yaml.safe_load((helm.CHARTS / chart / "values.yaml").read_text()) for chart in helm.STACK}
    opened = values["mlflow"]["database"]["poolSize"] + values["mlflow"]["database"]["maxOverflow"]
    assert opened < values["postgresql"]["maxConnections"] / 2
