"""The log reaches the run's artifacts, or the termination message says why not; never the exit code."""

import base64
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from runwright.inpod.artifacts import Artifacts
from tests.inpod.artifact_server import RUN, ArtifactServer
from tests.inpod.launched import Pod, said

pytestmark = pytest.mark.slow

LOG = "logs/attempt-1/node-1.log"
SCRIPT = ("sh", "-c", "echo hello; exit 3")
WANT = b"hello\n[runwright] the script exited with code 3\n"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=tracker", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-out", made[0], "-keyout", made[1]),
        ],
        check=True,
        capture_output=True,
    )
    return str(made[0]), str(made[1])


def test_the_log_is_stored_and_the_message_says_so(tracked: Pod, server: ArtifactServer) -> None:
    launched = tracked.run(*SCRIPT)
    assert launched.process.returncode == 3
    assert server.log() == WANT
    assert said(launched)["log"] == {"path": LOG, "bytes": len(WANT), "cut": 0}
    assert (launched.told.log, launched.told.problem) == (LOG, "")
    assert [method for method, _path in server.requests] == ["GET", "PUT"]


def test_attempt_and_node_are_in_the_path(tracked: Pod, server: ArtifactServer) -> None:
    env = {"RUNWRIGHT_ATTEMPT": "3", "RUNWRIGHT_NODE": "", "JOB_COMPLETION_INDEX": "2"}
    assert tracked.run("true", env=env).told.log == "logs/attempt-3/node-2.log"
    assert list(server.stored) == [f"7/{RUN}/artifacts/logs/attempt-3/node-2.log"]


def test_told_where_the_artifacts_are_it_need_not_ask(tracked: Pod, server: ArtifactServer) -> None:
    tracked.run(*SCRIPT, env={"RUNWRIGHT_ARTIFACT_URI": f"mlflow-artifacts:/own/place/{RUN}/artifacts"})
    assert list(server.stored) == [f"own/place/{RUN}/artifacts/{LOG}"]
    assert [method for method, _path in server.requests] == ["PUT"]


def test_a_server_below_a_path(tracked: Pod, server: ArtifactServer) -> None:
    tracked.run(*SCRIPT, env={"MLFLOW_TRACKING_URI": f"{server.uri}/team/mlflow/"})
    assert [path for _method, path in server.requests] == [
        f"/team/mlflow/api/2.0/mlflow/runs/get?run_id={RUN}",
        f"/team/mlflow/api/2.0/mlflow-artifacts/artifacts/7/{RUN}/artifacts/{LOG}",
    ]


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_server_that_fumbles_is_asked_again(tracked: Pod, server: ArtifactServer, status: int) -> None:
    server.answers = [status, status]
    assert tracked.run(*SCRIPT).told.log == LOG
    assert server.log() == WANT
    assert len(server.requests) == 4


@pytest.mark.parametrize("status", [400, 403, 404, 302])
def test_a_refusal_is_final(tracked: Pod, server: ArtifactServer, status: int) -> None:
    server.answers = [status]
    launched = tracked.run(*SCRIPT)
    assert launched.process.returncode == 3
    assert launched.told.log == ""
    refusal = '{"error_code": "INTERNAL_ERROR", "message": "as told"}'
    assert launched.told.problem == f"127.0.0.1 answered {status}: {refusal}"
    assert f"[runwright] the log was not uploaded: 127.0.0.1 answered {status}".encode() in launched.err
    assert len(server.requests) == 2


def test_a_server_that_refuses_before_it_has_read_everything(tracked: Pod, server: ArtifactServer) -> None:
    server.answers = [-413]
    launched = tracked.start("head", "-c", "12000000", "/dev/zero", stdout=subprocess.DEVNULL)
    assert launched.end() == 0
    assert launched.told.problem == "127.0.0.1 answered 413: too large"
    assert len(server.requests) == 2


def test_a_server_that_always_fails(tracked: Pod, server: ArtifactServer) -> None:
    server.answers = [500] * 1000
    launched = tracked.run(*SCRIPT, env={"RUNWRIGHT_UPLOAD_SECONDS": "3"})
    assert launched.process.returncode == 3
    assert launched.told.problem.startswith("127.0.0.1 answered 500")
    assert 2 < len(server.requests) < 9  # with growing pauses


def test_a_server_that_is_gone(pod: Pod) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        env = {
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{closed.getsockname()[1]}",
            "MLFLOW_RUN_ID": RUN,
            "RUNWRIGHT_NODE": "1",
        }
        launched = pod.run(*SCRIPT, env={**env, "RUNWRIGHT_UPLOAD_SECONDS": "2"})
    assert launched.process.returncode == 3
    assert launched.told.problem == "cannot speak to 127.0.0.1: Connection refused"


def test_a_server_that_never_answers(tracked: Pod, server: ArtifactServer) -> None:
    server.answers = [0]
    launched = tracked.run(*SCRIPT, env={"RUNWRIGHT_UPLOAD_SECONDS": "1"})
    assert launched.process.returncode == 3
    assert launched.told.problem in ("127.0.0.1 did not answer in time", "cannot speak to 127.0.0.1: timed out")
    assert launched.told.tail == "hello"


def test_a_server_that_hangs_leaves_room_in_the_grace_period(tracked: Pod, server: ArtifactServer) -> None:
    server.answers = [0] * 10
    launched = tracked.start("sh", "-c", "echo ready; exec sleep 1000", env={"RUNWRIGHT_GRACE_SECONDS": "3"})
    launched.wait_for(b"ready")
    launched.send(15)
    assert launched.end() == 143
    assert launched.told.problem
    assert launched.told.terminated


def test_a_name_that_does_not_resolve(pod: Pod) -> None:
    env = {"MLFLOW_TRACKING_URI": "http://tracker.invalid:5000", "MLFLOW_RUN_ID": RUN, "RUNWRIGHT_NODE": "1"}
    launched = pod.run(*SCRIPT, env={**env, "RUNWRIGHT_UPLOAD_SECONDS": "1"})
    assert launched.process.returncode == 3
    assert launched.told.log == ""
    assert launched.told.problem


@pytest.mark.parametrize(
    "uri", ["sqlite:///mlflow.db", "http://[broken", "http://host:port", "tracker:5000", "http://"]
)
def test_a_tracking_uri_that_is_none(pod: Pod, uri: str) -> None:
    launched = pod.run(*SCRIPT, env={"MLFLOW_TRACKING_URI": uri, "MLFLOW_RUN_ID": RUN, "RUNWRIGHT_NODE": "1"})
    assert launched.process.returncode == 3
    assert launched.told.problem.startswith("MLFLOW_TRACKING_URI ")


def test_without_a_tracker_nothing_is_uploaded_and_nothing_missed(pod: Pod) -> None:
    launched = pod.run(*SCRIPT)
    assert (launched.told.log, launched.told.problem) == ("", "")
    assert launched.err == b"[runwright] the script exited with code 3\n"


@pytest.mark.parametrize("place", ["s3://bucket/7", "file:///data", "mlflow-artifacts://elsewhere:5000/7", "/plain"])
def test_artifacts_elsewhere_are_not_sent_anywhere(tracked: Pod, server: ArtifactServer, place: str) -> None:
    server.artifact_uri = place
    launched = tracked.run(*SCRIPT)
    assert "not behind the tracking server" in launched.told.problem
    assert [method for method, _path in server.requests] == ["GET"]


@pytest.mark.parametrize("answer", [b"<html>hello</html>", b"[]", b"{}", b'{"run": {}}'])
def test_a_server_that_does_not_say_where(tracked: Pod, server: ArtifactServer, answer: bytes) -> None:
    server.run_answer = answer
    launched = tracked.run(*SCRIPT)
    assert launched.told.problem == "the tracking server does not say where the run's artifacts are"


@pytest.mark.parametrize(
    ("env", "authorization"),
    [
        (
            {"MLFLOW_TRACKING_USERNAME": "runner", "MLFLOW_TRACKING_PASSWORD": "pä:ss"},
            "Basic " + base64.b64encode("runner:pä:ss".encode()).decode(),
        ),
        ({"MLFLOW_TRACKING_TOKEN": "abc"}, "Bearer abc"),
    ],
)
def test_credentials(tracked: Pod, server: ArtifactServer, env: dict[str, str], authorization: str) -> None:
    server.authorization = authorization
    assert tracked.run(*SCRIPT, env=env).told.log == LOG
    refused = tracked.run(*SCRIPT, env={"MLFLOW_TRACKING_USERNAME": "runner", "MLFLOW_TRACKING_PASSWORD": "wrong"})
    assert refused.told.problem.startswith("127.0.0.1 answered 401")
    assert "wrong" not in refused.message
    assert refused.process.returncode == 3


def test_credentials_in_the_url(tracked: Pod, server: ArtifactServer) -> None:
    server.authorization = "Basic " + base64.b64encode(b"me:p@ss").decode()
    uri = server.uri.replace("127.0.0.1", "me:p%40ss@127.0.0.1")
    assert tracked.run(*SCRIPT, env={"MLFLOW_TRACKING_URI": uri}).told.log == LOG


def test_tls_with_an_authority_of_its_own(pod: Pod, certificate: tuple[str, str]) -> None:
    with ArtifactServer(certificate) as server:
        trusting = pod.run(*SCRIPT, env={**server.env, "MLFLOW_TRACKING_SERVER_CERT_PATH": certificate[0]})
        assert trusting.told.log == LOG
        assert server.log() == WANT
        unknown = pod.run(*SCRIPT, env=server.env)
        assert unknown.process.returncode == 3
        assert unknown.told.problem.startswith("TLS to 127.0.0.1 failed: self")  # self signed, self-signed
        missing = pod.run(*SCRIPT, env={**server.env, "MLFLOW_TRACKING_SERVER_CERT_PATH": "/no/such/file"})
        assert missing.told.problem.startswith("MLFLOW_TRACKING_SERVER_CERT_PATH=/no/such/file cannot be used")
        insecure = pod.run(*SCRIPT, env={**server.env, "MLFLOW_TRACKING_INSECURE_TLS": "true"})
        assert insecure.told.log == LOG


def test_a_folder_of_authorities(pod: Pod, certificate: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / "ours.pem").write_bytes(Path(certificate[0]).read_bytes())
    subprocess.run(["openssl", "rehash", str(folder)], check=True)
    with ArtifactServer(certificate) as server:
        launched = pod.run(*SCRIPT, env={**server.env, "MLFLOW_TRACKING_SERVER_CERT_PATH": str(folder)})
        assert launched.told.log == LOG


def test_a_server_that_does_not_speak_tls(tracked: Pod, server: ArtifactServer) -> None:
    launched = tracked.run(*SCRIPT, env={"MLFLOW_TRACKING_URI": server.uri.replace("http:", "https:")})
    assert launched.process.returncode == 3
    assert launched.told.problem.startswith("TLS to 127.0.0.1 failed: ")


def test_proxies_are_not_asked(tracked: Pod, server: ArtifactServer) -> None:
    """A proxy must not see a team's logs, and cannot reach a Service."""
    env = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    assert tracked.run(*SCRIPT, env=env).told.log == LOG


def test_a_script_that_never_began_has_a_log(tracked: Pod, server: ArtifactServer) -> None:
    assert tracked.run("/no/such/program").process.returncode == 127
    assert server.log() == (
        b"[runwright] spec.command cannot be started: /no/such/program does not exist in the image or its volumes\n"
    )


def test_authorities_are_those_of_the_system_without_a_path() -> None:
    found = Artifacts({})._tls()
    assert found.verify_mode == ssl.CERT_REQUIRED
    assert found.check_hostname
