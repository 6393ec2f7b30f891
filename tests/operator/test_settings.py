"""Settings from the environment."""

from pathlib import Path

import pytest

from runwright.errors import ConfigurationError
from runwright.operator.settings import read, unknown
from runwright.ports import Key


def test_defaults_need_no_variable(tmp_path: Path) -> None:
    settings = read({}, tmp_path / "absent")
    assert (settings.concurrency, settings.http_port, settings.log_format) == (32, 8080, "json")
    assert settings.lease_namespace == "runwright-system"
    assert settings.tracking
    assert settings.default_stack is None
    assert (settings.helm, settings.charts) == ("helm", Path("/opt/runwright/charts"))


def test_every_variable_is_read(tmp_path: Path) -> None:
    settings = read(
        {
            "RUNWRIGHT_DEFAULT_STACK": "runwright-tracking/default",
            "RUNWRIGHT_WATCH_NAMESPACES": "team-a, team-b,team-a",
            "RUNWRIGHT_LOG_LEVEL": "debug",
            "RUNWRIGHT_LOG_FORMAT": "text",
            "RUNWRIGHT_CONCURRENCY": "8",
            "RUNWRIGHT_LEASE_NAMESPACE": "ops",
            "RUNWRIGHT_POD_NAME": "runwright-0",
            "RUNWRIGHT_HTTP_PORT": "0",
            "RUNWRIGHT_LOG_TAIL": "false",
            "RUNWRIGHT_CLUSTER_DOMAIN": "example.org",
            "RUNWRIGHT_TRACKING": "off",
            "RUNWRIGHT_STACK_NAMESPACES": "ops,stacks",
            "RUNWRIGHT_STACK_DEFAULTS": "/etc/stacks.yaml",
            "RUNWRIGHT_HELM": "/usr/local/bin/helm",
            "RUNWRIGHT_CHARTS": "charts",
            "RUNWRIGHT_DEFAULT_STACK_FILE": "/etc/default.yaml",
            "RUNWRIGHT_IMAGE": "registry.example/operator:1",
            "RUNWRIGHT_IMAGE_PULL_POLICY": "always",
        },
        tmp_path / "absent",
    )
    assert settings.default_stack == Key("runwright-tracking", "default")
    assert settings.watch_namespaces == ("team-a", "team-b")
    assert settings.log_level == "DEBUG"
    assert settings.log_format == "text"
    assert settings.concurrency == 8
    assert settings.lease_namespace == "ops"
    assert settings.pod_name == "runwright-0"
    assert settings.http_port == 0
    assert not settings.log_tail
    assert settings.cluster_domain == "example.org"
    assert (settings.helm, settings.charts) == ("/usr/local/bin/helm", Path("charts"))
    assert not settings.tracking
    assert settings.stack_namespaces == ("ops", "stacks")
    assert settings.stack_defaults == Path("/etc/stacks.yaml")
    assert settings.default_stack_file == Path("/etc/default.yaml")
    assert (settings.image, settings.image_pull_policy) == ("registry.example/operator:1", "Always")


def test_in_a_pod_the_lease_is_in_its_own_namespace(tmp_path: Path) -> None:
    (tmp_path / "namespace").write_text("elsewhere\n")
    assert read({}, tmp_path / "namespace").lease_namespace == "elsewhere"
    assert read({"RUNWRIGHT_LEASE_NAMESPACE": "ops"}, tmp_path / "namespace").lease_namespace == "ops"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUNWRIGHT_DEFAULT_STACK", "default"),
        ("RUNWRIGHT_DEFAULT_STACK", "/default"),
        ("RUNWRIGHT_DEFAULT_STACK", "Team/default"),
        ("RUNWRIGHT_WATCH_NAMESPACES", "team_a"),
        ("RUNWRIGHT_LOG_LEVEL", "loud"),
        ("RUNWRIGHT_LOG_FORMAT", "xml"),
        ("RUNWRIGHT_CONCURRENCY", "0"),
        ("RUNWRIGHT_CONCURRENCY", "-1"),
        ("RUNWRIGHT_CONCURRENCY", "many"),
        ("RUNWRIGHT_CONCURRENCY", "²"),
        ("RUNWRIGHT_HTTP_PORT", "65536"),
        ("RUNWRIGHT_LOG_TAIL", "maybe"),
        ("RUNWRIGHT_CLUSTER_DOMAIN", "cluster local"),
        ("RUNWRIGHT_TRACKING", "half"),
        ("RUNWRIGHT_STACK_NAMESPACES", "ops;stacks"),
        ("RUNWRIGHT_STACK_DEFAULTS", "stacks.yaml"),
        ("RUNWRIGHT_DEFAULT_STACK_FILE", "~/default.yaml"),
    ],
)
def test_a_malformed_variable_is_named_with_its_value_and_what_it_must_be(
    name: str, value: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read({name: value}, tmp_path / "absent")
    message = str(caught.value)
    assert message.startswith(f"{name}={value!r}: must be ")
    assert "\n" not in message


def test_an_empty_variable_counts_as_absent(tmp_path: Path) -> None:
    assert read({"RUNWRIGHT_CONCURRENCY": " "}, tmp_path / "absent").concurrency == 32


def test_typing_errors_are_told_and_service_links_are_not() -> None:
    environ = {
        "RUNWRIGHT_CONCURENCY": "8",
        "RUNWRIGHT_LOG_LEVEL": "INFO",
        "RUNWRIGHT_SERVICE_HOST": "10.0.0.1",
        "RUNWRIGHT_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "PATH": "/bin",
    }
    assert unknown(environ) == ("RUNWRIGHT_CONCURENCY",)
