"""nginx before the cluster, set up from an Ingress object as its controller would.

No ingress controller can be built on the testbed (their modules need replaced dependencies), so a real nginx proxies
what the real Ingress says: host, paths, Service and port, TLS off. On a cluster with a controller of its own, name its
address in ``RUNWRIGHT_TEST_INGRESS=host:port`` and that is used instead.
"""

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.debian import unpacked
from tests.support.kubectl import Kubectl, free_port, wait_for

CONFIG = """
daemon off; pid {folder}/pid; error_log stderr warn; worker_processes 1;
events {{}}
http {{
  access_log off; client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port} default_server; return 404; }}
  server {{
    listen 127.0.0.1:{port}; server_name {host};
{locations}
  }}
}}
"""
LOCATION = """
    location {path} {{
      proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
    }}
"""


@contextmanager
def address(kubectl: Kubectl, namespace: str, name: str) -> Iterator[str]:
    """Yield host:port where the Ingress' rules are served for the block's duration."""
    if given := os.environ.get("RUNWRIGHT_TEST_INGRESS"):
        yield given
        return
    ingress = kubectl.get("ingress", name, namespace)
    assert ingress is not None, f"no Ingress {name} in {namespace}"
    (rule,) = ingress["spec"]["rules"]
    locations = "".join(
        LOCATION.format(path=path["path"], upstream=_upstream(kubectl, namespace, path["backend"]["service"]))
        for path in rule["http"]["paths"]
    )
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        config = Path(folder) / "nginx.conf"
        config.write_text(CONFIG.format(folder=folder, port=port, host=rule["host"], locations=locations))
        nginx = unpacked("nginx", "usr/sbin/nginx")
        process = subprocess.Popen([str(nginx), "-p", folder, "-c", str(config)])
        try:
            wait_for("nginx", lambda: _listens(port, process), 30)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _upstream(kubectl: Kubectl, namespace: str, backend: dict[str, object]) -> str:
    """Address of a Service's port, given by name or number."""
    name, wanted = str(backend["name"]), backend["port"]
    service = kubectl.get("service", name, namespace)
    assert service is not None, f"no Service {name} in {namespace}"
    assert isinstance(wanted, dict)
    for port in service["spec"]["ports"]:
        if wanted.get("name") == port.get("name") or wanted.get("number") == port["port"]:
            return f"{service['spec']['clusterIP']}:{port['port']}"
    raise AssertionError(f"Service {name} has no port {wanted}")


def _listens(port: int, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "nginx ended"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
