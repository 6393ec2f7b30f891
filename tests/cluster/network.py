"""The bare node's network: one bridge for the pods, and one nftables table; both can be taken away without a trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cluster import paths
from tests.cluster.errors import ClusterError
from tests.cluster.hostpackages import find
from tests.cluster.shell import replace_file, run

if TYPE_CHECKING:
    from collections.abc import Sequence

BRIDGE = "rwtestbed0"
POD_CIDR = "10.244.0.0/24"
NODE_ADDRESS = "10.244.0.1"  # the bridge's: it is there whatever the machine's own addresses are
SERVICE_CIDR = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
# libcni keeps one file per attachment here, whatever the configuration says.
_CNI_RESULTS = Path("/var/lib/cni/results")
_SYSCTL = Path("/proc/sys")
# What the node sets, and what kubelet and kube-proxy set: put back when the node stops.
_NEEDED = {
    "net/ipv4/ip_forward": "1",
    # Without it the answer of a pod to another on the same bridge bypasses conntrack, and Services break.
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/bridge/bridge-nf-call-ip6tables": "1",
}
_CHANGED_BY_KUBELET = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
)


def ports_taken(ports: Sequence[int]) -> str:
    """Return a line per listener on one of these TCP ports, empty if they are free."""
    listed = run(["ss", "-Hltnp", " or ".join(f"sport = :{port}" for port in ports)], check=False).stdout
    return "\n".join(" ".join(line.split()) for line in listed.splitlines())


def create(saved: Path) -> None:
    """Make the bridge and the rules; `saved` gets the kernel settings as they were."""
    if not (_SYSCTL / "net/bridge").exists():
        run(["modprobe", "br_netfilter"], remedy="Services between pods need the kernel module br_netfilter")
    if not saved.exists():
        before = {name: _read(name) for name in (*_NEEDED, *_CHANGED_BY_KUBELET)}
        replace_file(saved, json.dumps({name: value for name, value in before.items() if value is not None}))
    for name, value in _NEEDED.items():
        if (_SYSCTL / name).exists():
            (_SYSCTL / name).write_text(value)
    run(["ip", "link", "add", BRIDGE, "type", "bridge"])
    run(["ip", "address", "add", f"{NODE_ADDRESS}/{POD_CIDR.rpartition('/')[2]}", "dev", BRIDGE])
    run(["ip", "link", "set", BRIDGE, "up"])
    # Pods reach the outside under the machine's address; the outside reaches neither the API server nor kubelet.
    rules = f"""
        table inet {paths.name()} {{
          chain postrouting {{
            type nat hook postrouting priority srcnat
            ip saddr {POD_CIDR} ip daddr != {{ {POD_CIDR}, {SERVICE_CIDR} }} masquerade
          }}
          chain input {{
            type filter hook input priority filter
            tcp dport {{ 6443, 10250 }} iifname != {{ "lo", "{BRIDGE}" }} drop
          }}
        }}"""
    run([_nft(), "-f", "-"], stdin=rules)


def cni_configuration(state: Path) -> dict[str, object]:
    """Return the CNI network list that attaches pods to the bridge."""
    ipam = {
        "type": "host-local",
        "dataDir": str(state / "cni" / "networks"),
        "ranges": [[{"subnet": POD_CIDR, "gateway": NODE_ADDRESS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipMasq": False, "hairpinMode": True, "ipam": ipam}
    return {"cniVersion": "0.4.0", "name": paths.name(), "plugins": [bridge]}


def leftovers() -> list[str]:
    """Name what is there of the bridge, the tables and CNI's records."""
    found = [f"link {BRIDGE}"] if _exists() else []
    found += [f"nftables table {family} {name}" for family, name in _present_tables()]
    return found + [str(path) for path in _CNI_RESULTS.glob(f"{paths.name()}-*")]


def remove(saved: Path) -> None:
    """Remove the bridge, the pods' ends on it and the rules, and put the kernel settings back."""
    if _exists():
        for link in json.loads(run(["ip", "-json", "link", "show", "master", BRIDGE]).stdout or "[]"):
            run(["ip", "link", "delete", link["ifname"]], check=False)  # gone already if its pod is going
        run(["ip", "link", "delete", BRIDGE])
    for family, name in _present_tables():
        run([_nft(), "delete", "table", family, name])
    for path in _CNI_RESULTS.glob(f"{paths.name()}-*"):
        path.unlink(missing_ok=True)
    for folder in (_CNI_RESULTS, _CNI_RESULTS.parent):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    if saved.exists():
        for name, value in json.loads(saved.read_text()).items():
            if _read(name) != value:
                (_SYSCTL / name).write_text(value)
        saved.unlink()


def _exists() -> bool:
    # Not by /sys/class/net, which shows the network namespace that it was mounted in.
    return find("ip") is not None and run(["ip", "link", "show", BRIDGE], check=False).returncode == 0


def _present_tables() -> list[tuple[str, str]]:
    if find("nft") is None:
        return []
    listed = run([_nft(), "list", "tables"], check=False).stdout.splitlines()
    tables = (("inet", paths.name()), ("ip", "kube-proxy"), ("ip6", "kube-proxy"))
    return [(family, name) for family, name in tables if f"table {family} {name}" in listed]


def _nft() -> str:
    if program := find("nft"):
        return program
    raise ClusterError("nft is not installed", "install nftables")


def _read(name: str) -> str | None:
    try:
        return (_SYSCTL / name).read_text().strip()
    except OSError:
        return None
