"""What `helm test` runs, as the chart gives it to the pod, against a real operator and real MLflow servers."""

import subprocess
import sys
from collections.abc import Callable, Mapping

import pytest

from tests.charts import helm
from tests.support.mlflow_fixtures import guarded_server, mlflow_server  # noqa: F401 -- fixtures
from tests.support.mlflow_guarded import CLIENT, GuardedServer
from tests.support.mlflow_server import MLflowServer
from tests.support.operator_process import OperatorProcess

pytestmark = pytest.mark.contract

MakeOperator = Callable[..., OperatorProcess]


def check(environ: Mapping[str, str], seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the pod's command; a proxy of the environment must not matter."""
    pod = helm.the(helm.objects("runwright"), "Pod")["spec"]
    [container] = pod["containers"]
    assert container["command"] == ["python3", "-c"]
    given = {"WAIT_SECONDS": str(seconds), "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", *container["args"]]
    return subprocess.run(command, env={**given, **environ}, capture_output=True, text=True, check=False)


@pytest.fixture
def operator(make_operator: MakeOperator) -> OperatorProcess:
    return make_operator().start().wait_ready()


def test_it_passes_when_both_answer(operator: OperatorProcess, mlflow_server: MLflowServer) -> None:  # noqa: F811
    url = f"http://127.0.0.1:{operator.port}"
    done = check({"OPERATOR_URL": url, "TRACKING_URI": mlflow_server.uri})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"the operator answers at {url}/readyz",
        f"MLflow answers at {mlflow_server.uri}/api/2.0/mlflow/experiments/search?max_results=1",
    ]


def test_it_waits_for_an_operator_that_starts(make_operator: MakeOperator) -> None:
    operator = make_operator()
    url = f"http://127.0.0.1:{operator.port}"
    try:
        operator.start()
        assert check({"OPERATOR_URL": url}).returncode == 0
    finally:
        operator.stop()


def test_with_a_login_and_an_authority_of_the_stacks_own(
    operator: OperatorProcess,
    guarded_server: GuardedServer,  # noqa: F811
) -> None:
    environ = {"OPERATOR_URL": f"http://127.0.0.1:{operator.port}", "TRACKING_URI": guarded_server.uri}
    trusted = {**environ, "CA_BUNDLE": guarded_server.authority.pem}
    login = guarded_server.vault[CLIENT]
    known = {"TRACKING_USERNAME": login["username"], "TRACKING_PASSWORD": login["password"]}
    assert check(trusted | known).returncode == 0
    for lacking, said in ((environ | known, "CERTIFICATE_VERIFY_FAILED"), (trusted, "HTTP Error 401")):
        done = check(lacking, seconds=1)
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert line.startswith(f"MLflow does not answer at {guarded_server.uri}/api/")
        assert said in line
