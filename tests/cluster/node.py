"""One Kubernetes node made of processes: containerd, kubelet, kube-proxy, CoreDNS and a volume provisioner.

What each setting is for was tried on a machine with cgroup v1 and without CAP_SYS_RESOURCE; where such a machine is the
reason, it is said.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster import addons, buildah, cgroups, golang, leftovers, network, paths
from tests.cluster.controlplane import ControlPlane, Settings, free_ports
from tests.cluster.errors import ClusterError
from tests.cluster.hostpackages import CNI_PLUGINS, find
from tests.cluster.kubeconfig import write_certificate_kubeconfig
from tests.cluster.process import Daemons
from tests.cluster.shell import replace_file, run, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.cluster.steps import Steps

NAME = "testbed"
PORTS = (6443, 10250)
_CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_OWN = ("containerd", "kubelet", "kube-proxy", "coredns", "provisioner")
PROGRAMS = (*_CONTROL_PLANE, *_OWN, "kubectl", "containerd-shim-runc-v2", "ctr", "pause")
_START_SECONDS = 120.0


@dataclass(frozen=True)
class Node:
    """The node of the testbed; there is one per machine."""

    programs: Mapping[str, Path]

    @property
    def directory(self) -> Path:
        """The folder of everything that a stop throws away."""
        return leftovers.node_directory()

    @property
    def daemons(self) -> Daemons:
        """The node's own processes."""
        return Daemons(self.directory / "run")

    @property
    def control_plane(self) -> ControlPlane:
        """The control plane, whether it runs or not."""
        settings = Settings(
            controller_manager=True,
            scheduler=True,
            port=PORTS[0],
            bind_address="0.0.0.0",  # noqa: S104  -- pods come from the bridge, tests from loopback; nftables drops the rest
            advertise_address=network.NODE_ADDRESS,
            service_cidr=network.SERVICE_CIDR,
            service_address=network.SERVICE_ADDRESS,
            die_with_parent=False,
            # The node's name is no host name that DNS knows; logs, exec and port-forward go to its address.
            extra_arguments=("--kubelet-preferred-address-types=InternalIP",),
        )
        return ControlPlane(self.directory / "control-plane", settings)

    def healthy(self) -> bool:
        """Tell whether everything runs, in the versions pinned here, and the node is Ready."""
        try:
            everything = [(self.daemons, name) for name in _OWN]
            everything += [(self.control_plane.daemons, name) for name in _CONTROL_PLANE]
            if not all(_runs(daemons, name, self.programs[name]) for daemons, name in everything):
                return False
            return self.control_plane.client.ready() and self._node_ready()
        except (OSError, ValueError, ClusterError):
            return False

    def start(self, steps: Steps, images: Sequence[buildah.Built]) -> None:
        """Start the node on a machine without leftovers of an earlier one; returns when pods can run.

        Raises:
            ClusterError: If a port is taken, or something does not start; with the end of its log.
        """
        if holders := network.ports_taken(PORTS):
            raise ClusterError(
                f"the node needs the TCP ports {' and '.join(map(str, PORTS))}, and somebody listens there:\n{holders}",
                "stop that program, or point KUBECONFIG at its cluster if it is a Kubernetes",
            )
        with steps.step("network and control groups"):
            self.directory.mkdir(parents=True, exist_ok=True)
            network.create(leftovers.kernel_settings())
            cgroups.create()
        with steps.step("start containerd"):
            self._start_containerd()
        with steps.step("start the control plane"):
            self.control_plane.start()
        self.load(images, steps)
        with steps.step("start kubelet, kube-proxy, DNS and volumes"):
            addons.apply(self.control_plane.client)
            self._start_kubelet()
            self._start_kube_proxy()
            self._start_coredns()
            self._start_provisioner()
        with steps.step("node Ready"):
            self._wait("kubelet", self._node_ready, "the node's becoming Ready")
            self._wait("kube-proxy", lambda: "kube-proxy" in _tables(), "kube-proxy's first rules")

    def load(self, images: Sequence[buildah.Built], steps: Steps) -> None:
        """Bring images into containerd's store, unless exactly they are there."""
        record = self.directory.parent / "loaded.json"
        loaded: dict[str, dict[str, str]] = json.loads(record.read_text()) if record.exists() else {}
        present = self._digests()
        for image in images:
            digest = present.get(image.reference)
            if digest and loaded.get(image.reference) == {"hash": image.hash, "digest": digest}:
                continue
            with steps.step(f"load image {image.reference}"):
                archive = self.directory.parent / ".image.tar"
                buildah.save(image.reference, archive)
                self.ctr("images", "import", "--snapshotter", "overlayfs", archive)
                archive.unlink()
            digest = self._digests()[image.reference]
            loaded[image.reference] = {"hash": image.hash, "digest": digest}
            replace_file(record, json.dumps(loaded, indent=1))

    def stop(self, steps: Steps) -> None:
        """End the pods, then every process, in order; what a stop can leave behind is up to `leftovers.remove`."""
        with steps.step("end the pods"):
            self._end_pods()
        with steps.step("stop the processes"):
            for name in ("kubelet", "provisioner", "kube-proxy", "coredns"):
                self.daemons.stop(name)
            self._remove_containers()
            self.daemons.stop("containerd")
            self.control_plane.stop_processes()

    def ctr(self, *words: str | Path) -> str:
        """Run containerd's command line in the namespace that kubelet uses."""
        return run([self.programs["ctr"], "--address", _socket(), "--namespace", "k8s.io", *words]).stdout

    def _end_pods(self) -> None:
        control_plane = self.control_plane
        try:
            control_plane.stop_controllers()  # who would make them again
            for pod in control_plane.client.request("GET", "/api/v1/pods")["items"]:
                meta = pod["metadata"]
                control_plane.client.request(
                    "DELETE",
                    f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}",
                    {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 1},
                )
            # Not until the Pod objects are gone: finalizers may hold those, and the data goes anyway.
            wait_until(lambda: not self.ctr("tasks", "list", "-q").split(), 15.0, "the pods' end")
        except (OSError, ValueError, ClusterError):
            return  # what still runs is killed with the shims

    def _remove_containers(self) -> None:
        try:
            for task in self.ctr("tasks", "list", "-q").split():
                run([self.programs["ctr"], "-a", _socket(), "-n", "k8s.io", "tasks", "delete", "-f", task], check=False)
            if containers := self.ctr("containers", "list", "-q").split():
                self.ctr("containers", "delete", *containers)
        except ClusterError:
            return  # containerd is gone; a later start removes them

    def _digests(self) -> dict[str, str]:
        rows = (line.split() for line in self.ctr("images", "list").splitlines()[1:])
        return {row[0]: row[2] for row in rows}

    def _node_ready(self) -> bool:
        nodes = self.control_plane.client.request("GET", "/api/v1/nodes")["items"]
        return any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for node in nodes
            for condition in node["status"].get("conditions", [])
        )

    def _wait(self, name: str, condition: Callable[[], bool], what: str) -> None:
        try:
            wait_until(lambda: condition() or self.daemons.pid(name) is None, _START_SECONDS, what)
            reason = "" if self.daemons.pid(name) else f"{name} ended"
        except ClusterError as error:
            reason = str(error)
        if reason:
            raise ClusterError(f"{reason}\n--- {self.daemons.log(name)}\n{self.daemons.tail(name)}")

    def _start(self, name: str, *words: str | Path, env: Mapping[str, str] | None = None) -> None:
        self.daemons.start(name, [self.programs[name], *words], env)

    def _kubeconfig(self, name: str, common_name: str, organization: str = "", names: str = "") -> Path:
        control_plane = self.control_plane
        control_plane.authority.issue(name, common_name, organization, names)
        return write_certificate_kubeconfig(
            self.directory / f"{name}.kubeconfig", control_plane.admin_url, control_plane.authority, name
        )

    def _start_containerd(self) -> None:
        configuration = self.directory / "containerd.toml"
        runc = find("runc") or "runc"
        store = self.directory.parent / "containerd"
        cni = self.directory / "cni" / "net.d"
        replace_file(cni / "10-testbed.conflist", json.dumps(network.cni_configuration(self.directory)))
        # restrict_oom_score_adj: lowering it needs CAP_SYS_RESOURCE.
        # netns_mounts_under_state_dir, use_internal_loopback: a crash leaves nothing in /run/netns and /var/lib/cni.
        replace_file(
            configuration,
            f"""version = 3
root = "{store}"
state = "{paths.runtime() / "containerd"}"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{_socket()}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{buildah.PAUSE}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{CNI_PLUGINS}"]
    conf_dir = "{cni}"
    use_internal_loopback = true
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "{runc}"
        SystemdCgroup = false
""",
        )
        # containerd looks for its shim on PATH, under the shim's plain name.
        programs = f"{self.programs['containerd-shim-runc-v2'].parent}:{Path(runc).parent}:/usr/sbin:/sbin"
        self._start("containerd", "-c", configuration, env={"PATH": f"{programs}:{os.environ.get('PATH', '')}"})
        self._wait("containerd", self._containerd_answers, "containerd's start")

    def _containerd_answers(self) -> bool:
        return _socket().exists() and bool(
            run([self.programs["ctr"], "--address", _socket(), "version"], check=False).returncode == 0
        )

    def _start_kubelet(self) -> None:
        keys = self.control_plane.authority
        kubeconfig = self._kubeconfig(
            "kubelet", f"system:node:{NAME}", "system:nodes", f"DNS:{NAME},IP:{network.NODE_ADDRESS}"
        )
        configuration = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": network.NODE_ADDRESS,
            "healthzPort": 0,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(keys.cert("ca"))},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(keys.cert("kubelet")),
            "tlsPrivateKeyFile": str(keys.key("kubelet")),
            "containerRuntimeEndpoint": f"unix://{_socket()}",
            "podLogsDir": str(self.directory / "pod-logs"),
            "clusterDNS": [network.NODE_ADDRESS],
            "clusterDomain": "cluster.local",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{paths.name()}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,
            # It ignores what a container without CAP_SYS_RESOURCE may not set (oom_score_adj, some sysctls).
            "featureGates": {"KubeletInUserNamespace": True},
            "enforceNodeAllocatable": [],
            "serializeImagePulls": False,
            # A developer's disk is rarely as empty as a server's; images here can't be pulled again.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
        }
        file = self.directory / "kubelet.json"
        replace_file(file, json.dumps(configuration, indent=1))
        self._start(
            "kubelet",
            f"--config={file}",
            f"--kubeconfig={kubeconfig}",
            f"--root-dir={self.directory / 'kubelet'}",
            f"--cert-dir={self.directory / 'kubelet-pki'}",
            f"--hostname-override={NAME}",
            f"--node-ip={network.NODE_ADDRESS}",
        )

    def _start_kube_proxy(self) -> None:
        health, metrics = free_ports(2)
        configuration = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self._kubeconfig("kube-proxy", "system:kube-proxy"))},
            "mode": "nftables",
            "clusterCIDR": network.POD_CIDR,
            "hostnameOverride": NAME,
            "healthzBindAddress": f"127.0.0.1:{health}",
            "metricsBindAddress": f"127.0.0.1:{metrics}",
            "nodePortAddresses": ["primary"],
            # Zero: leave the machine's own limits as they are.
            "conntrack": {"maxPerCore": 0, "min": 0},
        }
        file = self.directory / "kube-proxy.json"
        replace_file(file, json.dumps(configuration, indent=1))
        self._start("kube-proxy", f"--config={file}")

    def _start_coredns(self) -> None:
        kubeconfig = self._kubeconfig("coredns", addons.DNS_USER)
        resolvers = Path("/etc/resolv.conf")
        outside = f"forward . {resolvers}" if resolvers.exists() and "nameserver" in resolvers.read_text() else ""
        file = self.directory / "Corefile"
        replace_file(
            file,
            f""".:53 {{
  bind {network.NODE_ADDRESS}
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    kubeconfig {kubeconfig}
    pods insecure
  }}
  {outside}
  cache 5
}}
""",
        )
        self._start("coredns", "-conf", file)

    def _start_provisioner(self) -> None:
        kubeconfig = self._kubeconfig("provisioner", addons.PROVISIONER_USER)
        volumes = self.directory / "volumes"
        volumes.mkdir(exist_ok=True)
        self._start("provisioner", f"-kubeconfig={kubeconfig}", f"-root={volumes}", f"-name={addons.PROVISIONER}")


def _runs(daemons: Daemons, name: str, program: Path) -> bool:
    pid = daemons.pid(name)
    return pid is not None and Path(f"/proc/{pid}/exe").resolve() == program.resolve()


def open_node(steps: Steps) -> Node:
    """Return the node, its programs built."""
    return Node(golang.ensure(PROGRAMS, steps))


def _socket() -> Path:
    return paths.runtime() / "containerd" / "containerd.sock"


def _tables() -> str:
    nft = find("nft") or shutil.which("nft") or "nft"
    return run([nft, "list", "tables"], check=False).stdout
