"""What was used: CPU and memory from /proc, requests from the API server's and the operator's metrics."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.client import Connection
from tests.cluster.errors import ClusterError
from tests.cluster.process import all_pids

_TICK = os.sysconf("SC_CLK_TCK")
_SAMPLE = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_MUTATING = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})
_OPERATORS_WRITES = frozenset({"create", "update", "patch", "delete", "apply"})
_KIB = 1024


@dataclass(frozen=True)
class Group:
    """A process, or with `session` all processes of the session that it leads."""

    pid: int
    session: bool = False

    def pids(self) -> tuple[int, ...]:
        """The processes that live now."""
        if not self.session:
            return (self.pid,)
        return tuple(pid for pid in all_pids() if (fields := _stat(pid)) and int(fields[3]) == self.pid)

    def cpu_seconds(self) -> float:
        """User and system time so far (proc_pid_stat(5), fields 14 and 15)."""
        return sum((int(f[11]) + int(f[12])) / _TICK for pid in self.pids() if (f := _stat(pid)))

    def forget_peak(self) -> None:
        """Start `peak_mib` anew (proc_pid_clear_refs(5): 5)."""
        for pid in self.pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_mib(self) -> float:
        """Largest resident set since `forget_peak` (VmHWM), MiB."""
        return self._memory_mib("VmHWM")

    def resident_mib(self) -> float:
        """Resident set now (VmRSS), MiB."""
        return self._memory_mib("VmRSS")

    def _memory_mib(self, name: str) -> float:
        texts = (Path(f"/proc/{pid}/status").read_text() for pid in self.pids())
        found = (re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE) for text in texts)
        return round(sum(int(one[1]) / _KIB for one in found if one), 1)


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the command's name: index 0 is field 3."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def api_writes(connection: Connection) -> Counter[str]:
    """Mutating requests of everybody so far by verb and resource, refused ones included, leases not."""
    status, text = connection.send("GET", "/metrics", accept="text/plain")
    assert status == requests.codes.ok, status
    found: Counter[str] = Counter()
    for sample in _SAMPLE.finditer(text.decode()):
        labels = dict(_LABEL.findall(sample[1]))
        if labels["verb"] in _MUTATING and labels["resource"] != "leases":
            resource = "/".join(part for part in (labels["resource"], labels["subresource"]) if part)
            found[f"{labels['verb']} {resource}"] += int(float(sample[2]))
    return found


def operator_requests(port: int) -> Counter[str]:
    """Requests that the operator sent so far by its own account, refused ones and reads included, leases not.

    Raises:
        ClusterError: The operator does not answer.
    """
    try:
        text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
    except requests.RequestException as error:
        raise ClusterError(
            f"the operator does not answer: {error}",
            "an operator that cannot renew its Lease for 10 s ends: run it on an idle machine",
        ) from None
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        if family.name != "runwright_api_request_duration_seconds":
            continue
        for sample in family.samples:
            verb, resource = sample.labels["verb"], sample.labels["resource"]
            # A review of one's own rights is POSTed, but nothing is stored.
            if sample.name.endswith("_count") and not resource.startswith(("selfsubject", "leases")):
                found[f"{verb} {resource}"] += int(sample.value)
    return found


def is_write(request: str) -> bool:
    """Whether a request of the operator, "verb resource", is mutating."""
    return request.split(maxsplit=1)[0] in _OPERATORS_WRITES


@dataclass(frozen=True)
class Usage:
    """Counters of one moment."""

    cpu: Mapping[str, float]
    writes: Counter[str]
    by_operator: Counter[str]

    @classmethod
    def now(cls, groups: Mapping[str, Group], connection: Connection, operator_port: int) -> "Usage":
        """Read everything; the processes first, since reading the metrics costs time of theirs."""
        cpu = {name: group.cpu_seconds() for name, group in groups.items()}
        return cls(cpu, api_writes(connection), operator_requests(operator_port))

    def since(self, earlier: "Usage") -> "Usage":
        """What came since `earlier`."""
        return Usage(
            {name: self.cpu[name] - earlier.cpu.get(name, 0.0) for name in self.cpu},
            self.writes - earlier.writes,
            self.by_operator - earlier.by_operator,
        )
