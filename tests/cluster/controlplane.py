"""An API server without a node, in the style of envtest: etcd and kube-apiserver, in a folder and on ports of its own.

    with ControlPlane() as control_plane:
        kubectl = ["kubectl", "--kubeconfig", control_plane.kubeconfig]

It starts in a few seconds, many run side by side, RBAC is on, and every request is in `audit_log`.
"""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.cluster import golang
from tests.cluster.apiclient import ApiClient
from tests.cluster.errors import ClusterError
from tests.cluster.kubeconfig import write_certificate_kubeconfig, write_token_kubeconfig
from tests.cluster.pki import Authority
from tests.cluster.process import Daemons
from tests.cluster.shell import eventually, replace_file

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_START_SECONDS = 90.0
_PORT_ATTEMPTS = 3
_TOKEN_SECONDS = 24 * 3600
_CONTROLLER_MANAGER = "kube-controller-manager"
_SCHEDULER = "kube-scheduler"
# A line for each request when it is answered; bodies are left out.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [
        {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class Settings:
    """What differs between an API server for tests and the one of a node."""

    controller_manager: bool = False
    scheduler: bool = False
    port: int = 0  # 0: a free one
    bind_address: str = "127.0.0.1"
    advertise_address: str = ""  # what Pods reach; empty: nothing is published as Service `kubernetes`
    service_cidr: str = "10.96.0.0/16"
    service_address: str = "10.96.0.1"
    die_with_parent: bool = True
    extra_arguments: tuple[str, ...] = ()  # of the API server
    controller_manager_arguments: tuple[str, ...] = ()
    scheduler_arguments: tuple[str, ...] = ()


class ControlPlane:
    """etcd and kube-apiserver, and kube-controller-manager and kube-scheduler if asked for."""

    def __init__(self, directory: Path | None = None, settings: Settings | None = None) -> None:
        """Prepare a control plane; without a folder it gets a temporary one, which `stop` removes."""
        self.settings = settings or Settings()
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="runwright-control-plane-"))
        self.authority = Authority(self.directory / "pki")
        self.daemons = Daemons(self.directory / "run", self.settings.die_with_parent)
        self._ports_file = self.directory / "ports.json"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def admin_url(self) -> str:
        """The server's address on this machine, `https://127.0.0.1:PORT`."""
        return f"https://127.0.0.1:{self._ports()['apiserver']}"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the administrator (system:masters): to set up with, not to run the tested program with."""
        return self.directory / "admin.kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The file with one JSON object (audit.k8s.io/v1 Event) per answered request; written before the answer."""
        return self.directory / "audit.jsonl"

    @property
    def client(self) -> ApiClient:
        """A client with the administrator's rights."""
        return ApiClient(self.admin_url, self.authority)

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority that signed the server's."""
        return self.authority.cert("ca")

    def start(self) -> None:
        """Start everything and wait until the API server is ready.

        Raises:
            ClusterError: If something can't be built, or ends or is not ready within 90 s; with the end of its log.
        """
        programs = golang.ensure(("etcd", "kube-apiserver", *self._controllers()))
        self.directory.mkdir(parents=True, exist_ok=True)
        self._make_keys()
        replace_file(self.directory / "audit-policy.json", json.dumps(_AUDIT_POLICY))
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self._choose_ports()
            self._start_etcd(programs["etcd"])
            self._start_apiserver(programs["kube-apiserver"])
            try:
                self.wait_ready()
                break
            except ClusterError as error:
                self.stop_processes()
                # Between choosing a free port and listening on it somebody else may take it.
                if attempt == _PORT_ATTEMPTS or "address already in use" not in str(error):
                    raise
        write_certificate_kubeconfig(self.kubeconfig, self.admin_url, self.authority, "admin")
        self.start_controllers()

    def start_controllers(self) -> None:
        """Start kube-controller-manager and kube-scheduler, as the settings ask for them."""
        programs = golang.ensure(self._controllers())
        for name in self._controllers():
            if self.daemons.pid(name):
                continue
            config = write_certificate_kubeconfig(
                self.directory / f"{name}.kubeconfig", self.admin_url, self.authority, name
            )
            flags = [
                f"--{flag}={config}" for flag in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
            ]
            flags += ["--leader-elect=false", "--bind-address=127.0.0.1", f"--secure-port={self._ports()[name]}"]
            if name == _CONTROLLER_MANAGER:
                keys = self.authority
                flags += [
                    f"--service-account-private-key-file={keys.key('sa')}",
                    f"--root-ca-file={keys.cert('ca')}",
                    f"--cluster-signing-cert-file={keys.cert('ca')}",
                    f"--cluster-signing-key-file={keys.key('ca')}",
                    "--use-service-account-credentials",
                    *self.settings.controller_manager_arguments,
                ]
            else:
                flags += self.settings.scheduler_arguments
            self.daemons.start(name, [programs[name], *flags])

    def stop_controllers(self) -> None:
        """Stop kube-scheduler and kube-controller-manager."""
        for name in (_SCHEDULER, _CONTROLLER_MANAGER):
            self.daemons.stop(name)

    def kill_apiserver(self) -> None:
        """End the API server with SIGKILL; etcd and its data stay."""
        self.daemons.kill("kube-apiserver")

    def restart_apiserver(self) -> None:
        """Start the API server again, on the same port with the same data; returns when it is ready."""
        self.daemons.stop("kube-apiserver")
        self._start_apiserver(golang.ensure(["kube-apiserver"])["kube-apiserver"])
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the API server is ready.

        Raises:
            ClusterError: If it is not within 90 s, or etcd or the server ended.
        """
        names = ("etcd", "kube-apiserver")

        def decided() -> bool:
            return self.client.ready() or any(self.daemons.pid(name) is None for name in names)

        eventually(decided, _START_SECONDS)
        if not self.client.ready():
            logs = "\n".join(f"--- {self.daemons.log(name)}\n{self.daemons.tail(name)}" for name in names)
            raise ClusterError(f"the API server did not become ready at {self.admin_url}\n{logs}")

    def stop_processes(self) -> None:
        """Stop everything in order: without its etcd the API server would linger for a minute."""
        self.stop_controllers()
        self.daemons.stop("kube-apiserver")
        self.daemons.stop("etcd")

    def stop(self) -> None:
        """Stop everything; a temporary folder is removed."""
        self.stop_processes()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def kubeconfig_for_service_account(self, namespace: str, name: str) -> Path:
        """Return a kubeconfig that acts as a ServiceAccount, made if it does not exist, with a token for 24 h.

        So tests run with the rights that the charts grant, never as system:masters.
        """
        base = f"/api/v1/namespaces/{namespace}"
        named = {"metadata": {"name": name, "namespace": namespace}}
        self.client.apply(base, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        self.client.apply(f"{base}/serviceaccounts/{name}", {"apiVersion": "v1", "kind": "ServiceAccount", **named})
        answer = self.client.request(
            "POST",
            f"{base}/serviceaccounts/{name}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": _TOKEN_SECONDS},
            },
        )
        return write_token_kubeconfig(
            self.directory / f"{namespace}.{name}.kubeconfig",
            self.admin_url,
            self.authority,
            answer["status"]["token"],
            namespace,
        )

    def audit_events(self) -> list[dict[str, Any]]:
        """Return every request answered so far, oldest first."""
        with self.audit_log.open() as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def _controllers(self) -> tuple[str, ...]:
        wanted = ((_CONTROLLER_MANAGER, self.settings.controller_manager), (_SCHEDULER, self.settings.scheduler))
        return tuple(name for name, asked in wanted if asked)

    def _make_keys(self) -> None:
        keys, own = self.authority, self.settings
        keys.create()
        names = "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
        addresses = {"127.0.0.1", own.service_address, own.advertise_address} - {""}
        keys.issue(
            "apiserver",
            "kube-apiserver",
            alternative_names=f"{names},DNS:kubernetes.default.svc.cluster.local,"
            + ",".join(f"IP:{address}" for address in sorted(addresses)),
        )
        keys.issue("admin", "kubernetes-admin", "system:masters")
        keys.issue(_CONTROLLER_MANAGER, "system:kube-controller-manager")
        keys.issue(_SCHEDULER, "system:kube-scheduler")
        keys.issue("kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
        keys.issue("front-proxy", "front-proxy-client")

    def _choose_ports(self) -> None:
        names = ("etcd", "etcd-peer", "apiserver", _CONTROLLER_MANAGER, _SCHEDULER)
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        if self.settings.port:
            ports["apiserver"] = self.settings.port
        replace_file(self._ports_file, json.dumps(ports))

    def _ports(self) -> dict[str, int]:
        ports: dict[str, int] = json.loads(self._ports_file.read_text())
        return ports

    def _start_etcd(self, program: Path) -> None:
        ports = self._ports()
        client, peer = (f"http://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd-peer"))
        self.daemons.start(
            "etcd",
            [program, "--data-dir", self.directory / "etcd", "--listen-client-urls", client,
             "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", f"default={peer}", "--unsafe-no-fsync", "--log-level", "warn"],
        )  # fmt: skip

    def _start_apiserver(self, program: Path) -> None:
        own, keys, ports = self.settings, self.authority, self._ports()
        published = (
            (f"--advertise-address={own.advertise_address}",)
            if own.advertise_address
            else ("--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none")
        )
        self.daemons.start(
            "kube-apiserver",
            [
                program,
                f"--etcd-servers=http://127.0.0.1:{ports['etcd']}",
                f"--bind-address={own.bind_address}",
                f"--secure-port={ports['apiserver']}",
                *published,
                f"--cert-dir={self.directory / 'run'}",
                f"--client-ca-file={keys.cert('ca')}",
                f"--tls-cert-file={keys.cert('apiserver')}",
                f"--tls-private-key-file={keys.key('apiserver')}",
                f"--service-account-key-file={keys.directory / 'sa.pub'}",
                f"--service-account-signing-key-file={keys.key('sa')}",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-cluster-ip-range={own.service_cidr}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged",
                f"--kubelet-client-certificate={keys.cert('kubelet-client')}",
                f"--kubelet-client-key={keys.key('kubelet-client')}",
                f"--kubelet-certificate-authority={keys.cert('ca')}",
                f"--requestheader-client-ca-file={keys.cert('ca')}",
                # The request-header authority is the clients' authority too, so the name must tell them apart.
                "--requestheader-allowed-names=front-proxy-client",
                "--requestheader-username-headers=X-Remote-User",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                f"--proxy-client-cert-file={keys.cert('front-proxy')}",
                f"--proxy-client-key-file={keys.key('front-proxy')}",
                f"--audit-policy-file={self.directory / 'audit-policy.json'}",
                f"--audit-log-path={self.audit_log}",
                "--audit-log-mode=blocking",
                *own.extra_arguments,
            ],
        )


def free_ports(number: int) -> list[int]:
    """Return TCP ports of the loopback address that nobody listens on now."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for found in sockets:
            found.bind(("127.0.0.1", 0))
        return [found.getsockname()[1] for found in sockets]
    finally:
        for found in sockets:
            found.close()
