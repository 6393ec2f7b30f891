"""Evaluates NetworkPolicies as Kubernetes defines them, over pods, namespaces and policies as an API server has them.

For clusters where nobody enforces policies, and to ask about traffic that nobody sends. The rules and their sources:

- A pod is isolated in a direction when a policy of its namespace selects it and has the direction in `policyTypes`;
  else everything is allowed in that direction. What a connection needs: the source's egress and the destination's
  ingress. Policies add up; none can forbid what another allows.
  https://kubernetes.io/docs/concepts/services-networking/network-policies/#the-two-sorts-of-pod-isolation
- `policyTypes` left out: Ingress, and Egress too where the policy has egress rules. `from`, `to` or `ports` empty or
  left out: everybody, every port. `ports[].protocol` left out: TCP. A named port is looked up in the destination pod.
  https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
- A peer's podSelector alone looks at the policy's namespace; with a namespaceSelector, at those; an empty selector
  takes all. https://kubernetes.io/docs/concepts/services-networking/network-policies/#behavior-of-to-and-from-selectors
- Selectors: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#resources-that-support-set-based-requirements
  (NotIn also takes what lacks the key.)
- A pod always reaches itself, and pods of the host's network are left alone, the commoner of the two behaviors there.
  https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-and-hostnetwork-pods
- Not here: a node's traffic to its own pods (probes), which is always allowed, and translated addresses (a Service is
  asked for by the pod behind it).

What this evaluation does not know is an error, never an answer.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Literal

Json = Mapping[str, Any]
Direction = Literal["Ingress", "Egress"]


@dataclass(frozen=True)
class Pod:
    """What policies can see of a pod."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    addresses: tuple[str, ...] = ()
    ports: Mapping[tuple[str, str], int] | None = None
    """Number by name and protocol."""
    host_network: bool = False

    @classmethod
    def of(cls, manifest: Json) -> "Pod":
        """Read a pod as the API server gives it."""
        spec, status = manifest.get("spec", {}), manifest.get("status", {})
        restartable = [c for c in spec.get("initContainers", ()) if c.get("restartPolicy") == "Always"]
        ports = {
            (port["name"], port.get("protocol", "TCP")): int(port["containerPort"])
            for container in (*spec.get("containers", ()), *restartable)
            for port in container.get("ports", ())
            if "name" in port
        }
        first = (status["podIP"],) if "podIP" in status else ()
        addresses = tuple(one["ip"] for one in status.get("podIPs", ())) or first
        meta = manifest["metadata"]
        return cls(
            meta.get("name", ""),
            meta.get("namespace", "default"),
            meta.get("labels") or {},
            addresses,
            ports,
            bool(spec.get("hostNetwork")),
        )


@dataclass(frozen=True)
class Address:
    """An end of a connection outside the cluster's pods."""

    ip: str


End = Pod | Address


@dataclass(frozen=True)
class Network:
    """Namespaces and policies; pods are given with each question."""

    namespaces: Mapping[str, Mapping[str, str]]
    """Labels by name."""
    policies: Sequence[Json]

    @classmethod
    def of(cls, namespaces: Iterable[Json], policies: Iterable[Json]) -> "Network":
        """Read objects as the API server gives them, which labels each namespace with its name.

        Raises:
            ValueError: a policy has something that this evaluation does not know.
        """
        labels = {
            one["metadata"]["name"]: {
                **(one["metadata"].get("labels") or {}),
                "kubernetes.io/metadata.name": one["metadata"]["name"],
            }
            for one in namespaces
        }
        given = tuple(policies)
        for policy in given:
            _known(policy["spec"], {"podSelector", "policyTypes", "ingress", "egress"})
        return cls(labels, given)

    def allows(self, source: End, destination: End, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection from source to destination, on this port of the destination, is allowed."""
        if source == destination:
            return True
        return self._open("Egress", source, destination, destination, port, protocol) and self._open(
            "Ingress", destination, source, destination, port, protocol
        )

    def isolated(self, pod: Pod, direction: Direction) -> bool:
        """Whether any policy applies to the pod in this direction."""
        return next(self._applying(pod, direction), None) is not None

    def _open(self, direction: Direction, subject: End, peer: End, destination: End, port: int, protocol: str) -> bool:
        if isinstance(subject, Address) or not self.isolated(subject, direction):
            return True
        key, whom = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
        for policy in self._applying(subject, direction):
            for rule in policy["spec"].get(key) or ():
                _known(rule, {whom, "ports"})
                peers, ports = rule.get(whom) or (), rule.get("ports") or ()
                here = policy["metadata"].get("namespace", "default")
                if (not peers or any(self._is_peer(one, here, peer) for one in peers)) and (
                    not ports or any(_is_port(one, destination, port, protocol) for one in ports)
                ):
                    return True
        return False

    def _applying(self, pod: Pod, direction: Direction) -> Iterator[Json]:
        for policy in self.policies:
            spec = policy["spec"]
            types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
            if (
                direction in types
                and policy["metadata"].get("namespace", "default") == pod.namespace
                and not pod.host_network
                and selects(spec.get("podSelector") or {}, pod.labels)
            ):
                yield policy

    def _is_peer(self, peer: Json, here: str, end: End) -> bool:
        _known(peer, {"podSelector", "namespaceSelector", "ipBlock"})
        if peer.get("ipBlock") is not None:
            if len(peer) > 1:
                raise ValueError(f"ipBlock stands alone in a peer: {peer}")
            addresses = (end.ip,) if isinstance(end, Address) else end.addresses
            return any(_in_block(peer["ipBlock"], address) for address in addresses)
        if isinstance(end, Address) or end.host_network:
            return False
        namespaces = peer.get("namespaceSelector")
        if namespaces is None:
            there = end.namespace == here
        elif end.namespace not in self.namespaces:
            raise ValueError(f"the namespace {end.namespace} of pod {end.name} is not given")
        else:
            there = selects(namespaces, self.namespaces[end.namespace])
        return there and selects(peer.get("podSelector") or {}, end.labels)


def selects(selector: Json, labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes something with these labels.

    Raises:
        ValueError: the selector has an operator or field that Kubernetes does not have.
    """
    _known(selector, {"matchLabels", "matchExpressions"})
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    return wanted.items() <= labels.items() and all(
        _meets(requirement, labels) for requirement in selector.get("matchExpressions") or ()
    )


def _meets(requirement: Json, labels: Mapping[str, str]) -> bool:
    _known(requirement, {"key", "operator", "values"})
    key, operator, values = requirement["key"], requirement["operator"], requirement.get("values") or ()
    match operator:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            raise ValueError(f"unknown operator {operator}")


def _is_port(rule: Json, destination: End, port: int, protocol: str) -> bool:
    _known(rule, {"port", "protocol", "endPort"})
    if rule.get("protocol", "TCP") != protocol:
        return False
    wanted, last = rule.get("port"), rule.get("endPort")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        if last is not None:
            raise ValueError(f"endPort needs a number as port: {rule}")
        known = (destination.ports or {}) if isinstance(destination, Pod) else {}
        return known.get((wanted, protocol)) == port
    return int(wanted) <= port <= int(wanted if last is None else last)


def _in_block(block: Json, address: str) -> bool:
    _known(block, {"cidr", "except"})
    ip = ip_address(address)
    return ip in ip_network(block["cidr"]) and not any(ip in ip_network(one) for one in block.get("except") or ())


def _known(given: Json, fields: set[str]) -> None:
    if unknown := set(given) - fields:
        raise ValueError(f"unknown in a NetworkPolicy: {', '.join(sorted(unknown))}")
