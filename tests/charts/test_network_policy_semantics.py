"""The evaluation of NetworkPolicies keeps Kubernetes' rules, whatever the pods, policies and connections."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.network_policies import Address, Direction, End, Network, Pod, selects

KEYS, VALUES = ("app", "tier"), ("a", "b")
DIRECTIONS: tuple[Direction, Direction] = ("Ingress", "Egress")
NAMESPACES = {"one": {"env": "a"}, "two": {"env": "b"}, "three": {}}
SPACES = [{"metadata": {"name": name, "labels": labels}} for name, labels in NAMESPACES.items()]

labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
requirements = st.one_of(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        st.sampled_from(KEYS),
        st.sampled_from(("In", "NotIn")),
        st.lists(st.sampled_from(VALUES), min_size=1),
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator},
        st.sampled_from(KEYS),
        st.sampled_from(("Exists", "DoesNotExist")),
    ),
)
selectors = st.fixed_dictionaries({}, optional={"matchLabels": labels, "matchExpressions": st.lists(requirements)})
spaces_selectors = st.sampled_from(
    ({}, {"matchLabels": {"env": "a"}}, {"matchLabels": {"kubernetes.io/metadata.name": "two"}})
)
blocks = st.sampled_from(
    (
        {"cidr": "10.0.0.0/8"},
        {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/9"]},
        {"cidr": "192.0.2.1/32"},
        {"cidr": "2001:db8::/32"},
    )
)
peers = st.one_of(
    st.fixed_dictionaries({"podSelector": selectors}),
    st.fixed_dictionaries({"namespaceSelector": spaces_selectors}, optional={"podSelector": selectors}),
    st.fixed_dictionaries({"ipBlock": blocks}),
)
PORTS = (80, 81, 90)
ports = st.sampled_from(
    (
        {"port": 80},
        {"port": "web"},
        {"port": 80, "endPort": 85, "protocol": "TCP"},
        {"protocol": "UDP"},
        {"port": 90, "protocol": "UDP"},
        {},
    )
)


def rules(whom: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={whom: st.lists(peers, max_size=3), "ports": st.lists(ports, max_size=2)})


specs = st.fixed_dictionaries(
    {"podSelector": selectors},
    optional={
        "policyTypes": st.sampled_from((["Ingress"], ["Egress"], ["Ingress", "Egress"])),
        "ingress": st.lists(rules("from"), max_size=3),
        "egress": st.lists(rules("to"), max_size=3),
    },
)
policies = st.builds(
    lambda namespace, spec: {"metadata": {"namespace": namespace, "name": "p"}, "spec": spec},
    st.sampled_from(sorted(NAMESPACES)),
    specs,
)
pods = st.builds(
    Pod,
    st.text("xyz", min_size=1, max_size=2),
    st.sampled_from(sorted(NAMESPACES)),
    labels,
    st.sampled_from((("10.1.0.1",), ("10.200.0.1", "2001:db8::1"))),
    st.sampled_from(({("web", "TCP"): 80}, {("web", "TCP"): 81}, {})),
)
ends: st.SearchStrategy[End] = st.one_of(pods, st.sampled_from((Address("192.0.2.1"), Address("2001:db8::9"))))
connections = st.tuples(ends, ends, st.sampled_from(PORTS), st.sampled_from(("TCP", "UDP")))

Connection = tuple[End, End, int, str]


def network(*given_policies: Any) -> Network:
    return Network.of(SPACES, given_policies)


@given(connections)
def test_without_policies_everything_is_allowed(connection: Connection) -> None:
    assert network().allows(*connection)


@given(st.lists(policies, max_size=4), connections)
def test_a_connection_needs_both_its_ends(given_policies: list[Any], connection: Connection) -> None:
    source, destination, port, protocol = connection
    whole = network(*given_policies)
    ingress = network(
        *({**p, "spec": {**p["spec"], "policyTypes": ["Ingress"]}} for p in _of(given_policies, "Ingress"))
    )
    egress = network(*({**p, "spec": {**p["spec"], "policyTypes": ["Egress"]}} for p in _of(given_policies, "Egress")))
    both = ingress.allows(source, destination, port, protocol) and egress.allows(source, destination, port, protocol)
    assert whole.allows(source, destination, port, protocol) is both


def _of(given_policies: list[Any], direction: str) -> list[Any]:
    def types(spec: Any) -> Any:
        return spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])

    return [policy for policy in given_policies if direction in types(policy["spec"])]


@given(st.lists(policies, max_size=3), policies, connections)
def test_a_further_policy_forbids_nothing_to_pods_that_are_isolated_already(
    given_policies: list[Any], further: Any, connection: Connection
) -> None:
    before, after = network(*given_policies), network(*given_policies, further)
    pods_here = [end for end in connection[:2] if isinstance(end, Pod)]
    newly = [
        pod for pod in pods_here for way in DIRECTIONS if after.isolated(pod, way) and not before.isolated(pod, way)
    ]
    if not newly and before.allows(*connection):
        assert after.allows(*connection)


@given(st.lists(policies, max_size=3), policies, connections)
def test_a_policy_of_another_namespace_or_for_other_pods_changes_nothing(
    given_policies: list[Any], further: Any, connection: Connection
) -> None:
    further["spec"]["podSelector"] = {"matchLabels": {"app": "nobody"}}
    assert network(*given_policies, further).allows(*connection) is network(*given_policies).allows(*connection)


@given(st.lists(policies, min_size=1, max_size=3), connections)
def test_a_policy_is_the_sum_of_its_rules(given_policies: list[Any], connection: Connection) -> None:
    split = []
    for policy in given_policies:
        spec = policy["spec"]
        types = spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])
        alone = {"podSelector": spec["podSelector"], "policyTypes": types}
        split.append({**policy, "spec": alone})
        split += [
            {**policy, "spec": {**alone, key: [rule]}} for key in ("ingress", "egress") for rule in spec.get(key, ())
        ]
    assert network(*split).allows(*connection) is network(*given_policies).allows(*connection)


@given(connections)
def test_a_policy_without_rules_isolates_and_an_empty_rule_opens(connection: Connection) -> None:
    source, destination, *_ = connection
    everybody = [{"metadata": {"namespace": name}, "spec": {"podSelector": {}}} for name in NAMESPACES]
    expected = isinstance(destination, Address) or source == destination
    assert network(*everybody).allows(*connection) is expected
    opened = [{**one, "spec": {"podSelector": {}, "ingress": [{}]}} for one in everybody]
    assert network(*opened).allows(*connection)


@given(labels, selectors)
def test_selectors(found: dict[str, str], selector: dict[str, Any]) -> None:
    assert selects({}, found)
    as_expressions = [
        {"key": key, "operator": "In", "values": [value]} for key, value in selector.get("matchLabels", {}).items()
    ]
    expressions = [*as_expressions, *selector.get("matchExpressions", ())]
    assert selects({"matchExpressions": expressions}, found) is selects(selector, found)
    opposite = {"In": "NotIn", "NotIn": "In", "Exists": "DoesNotExist", "DoesNotExist": "Exists"}
    for one in expressions:
        other = {**one, "operator": opposite[one["operator"]]}
        assert selects({"matchExpressions": [one]}, found) is not selects({"matchExpressions": [other]}, found)


SERVER = Pod("server", "one", {"app": "a"}, ("10.1.0.1",), {("web", "TCP"): 8080, ("web", "UDP"): 8081})
NEIGHBOR = Pod("neighbor", "one", {}, ("10.1.0.3",))
CLIENT = Pod("client", "two", {"app": "b"}, ("10.1.0.2",))


def admitting(**rule: Any) -> Network:
    return network({"metadata": {"namespace": "one"}, "spec": {"podSelector": {}, "ingress": [rule]}})


@pytest.mark.parametrize(
    ("peer", "admitted"),
    [
        ({"podSelector": {"matchLabels": {"app": "b"}}}, False),  # of the policy's own namespace
        ({"podSelector": {"matchLabels": {"app": "b"}}, "namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"env": "b"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"env": "b"}}, "podSelector": {"matchLabels": {"app": "a"}}}, False),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "two"}}}, True),
        ({"ipBlock": {"cidr": "10.1.0.0/16"}}, True),
        ({"ipBlock": {"cidr": "10.1.0.0/16", "except": ["10.1.0.2/32"]}}, False),
    ],
)
def test_peers(peer: dict[str, Any], admitted: bool) -> None:
    assert admitting(**{"from": [peer]}).allows(CLIENT, SERVER, 8080) is admitted


@pytest.mark.parametrize(
    ("rule", "tcp", "udp"),
    [
        ({}, {8080, 8081, 9000}, set()),
        ({"port": "web"}, {8080}, set()),
        ({"port": "web", "protocol": "UDP"}, set(), {8081}),
        ({"port": "other"}, set(), set()),
        ({"port": 8080, "endPort": 8999}, {8080, 8081}, set()),
        ({"protocol": "UDP"}, set(), {8080, 8081, 9000}),
    ],
)
def test_ports(rule: dict[str, Any], tcp: set[int], udp: set[int]) -> None:
    asked = admitting(ports=[rule])
    assert {port for port in (8080, 8081, 9000) if asked.allows(CLIENT, SERVER, port)} == tcp
    assert {port for port in (8080, 8081, 9000) if asked.allows(CLIENT, SERVER, port, "UDP")} == udp


def test_a_named_port_of_an_egress_rule_is_the_destinations() -> None:
    rule = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": "web"}]}]}
    asked = network({"metadata": {"namespace": "two"}, "spec": rule})
    assert asked.allows(CLIENT, SERVER, 8080)
    assert not asked.allows(CLIENT, SERVER, 8081)
    assert not asked.allows(CLIENT, Address("192.0.2.1"), 8080)


def test_pods_of_the_hosts_network_are_left_alone() -> None:
    agent = Pod("agent", "one", {"app": "a"}, ("192.0.2.7",), {}, host_network=True)
    assert admitting(**{"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}).allows(agent, SERVER, 80)
    assert not admitting(**{"from": [{"podSelector": {}}]}).allows(agent, SERVER, 80)
    assert admitting(**{"from": [{"ipBlock": {"cidr": "198.51.100.0/24"}}]}).allows(CLIENT, agent, 80)


def test_pods_are_read_as_the_api_server_gives_them() -> None:
    named = {"name": "web", "containerPort": 8080}
    sidecar = {"restartPolicy": "Always", "ports": [{"name": "metrics", "containerPort": 9090, "protocol": "TCP"}]}
    pod = Pod.of(
        {
            "metadata": {"name": "a", "namespace": "one", "labels": {"app": "a"}},
            "spec": {
                "containers": [{"ports": [named, {"containerPort": 1}]}],
                "initContainers": [sidecar, {"ports": [named]}],
            },
            "status": {"podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}, {"ip": "2001:db8::1"}]},
        }
    )
    assert pod.addresses == ("10.1.0.1", "2001:db8::1")
    assert pod.ports == {("web", "TCP"): 8080, ("metrics", "TCP"): 9090}
    assert Pod.of({"metadata": {"name": "a"}, "spec": {"hostNetwork": True}}).host_network


@pytest.mark.parametrize(
    "spec",
    [
        {"podSelector": {}, "deny": []},
        {"podSelector": {}, "ingress": [{"to": []}]},
        {"podSelector": {}, "ingress": [{"from": [{"serviceSelector": {}}]}]},
        {"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchNames": {}}}]}]},
        {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]},
        {"podSelector": {}, "ingress": [{"ports": [{"port": "web", "endPort": 90}]}]},
        {"podSelector": {}, "ingress": [{"ports": [{"number": 80}]}]},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "Gt", "values": ["1"]}]}},
    ],
)
def test_what_it_does_not_know_is_an_error(spec: Any) -> None:
    with pytest.raises(ValueError, match=r"unknown|stands alone|needs a number"):
        network({"metadata": {"namespace": "one"}, "spec": spec}).allows(NEIGHBOR, SERVER, 80)


def test_a_pod_of_a_namespace_that_is_not_given_is_an_error() -> None:
    with pytest.raises(ValueError, match="namespace four"):
        admitting(**{"from": [{"namespaceSelector": {}}]}).allows(Pod("x", "four", {}), SERVER, 80)
