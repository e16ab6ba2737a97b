"""The firewall's rules and the addresses of the service link."""

import pytest

from localjuju.substrate import firewall, links
from localjuju.substrate.firewall import Forward
from localjuju.substrate.protocol import ServiceSpec

SUBNET = "10.70.0.0/20"


def _service(*ports: str, backends: tuple[str, ...] = ("10.70.0.10", "10.70.0.11")) -> ServiceSpec:
    return ServiceSpec("shop", "web", "10.70.0.200", ports, backends)


def _rules(*forwards: Forward, addresses: tuple[str, ...] = ("10.70.0.200",)) -> list[str]:
    text = firewall.render("here", SUBNET, addresses, forwards)
    return [line.strip() for line in text.splitlines()]


def test_only_ready_units_get_traffic():
    found = firewall.forwards([_service("80/tcp")], {"10.70.0.11", "10.70.0.99"})
    assert found == (Forward("10.70.0.200", "tcp", 80, ("10.70.0.11",)),)


def test_every_open_port_is_forwarded_and_nothing_else():
    found = firewall.forwards([_service("80/tcp", "53/udp", "icmp")], {"10.70.0.10"})
    assert {(forward.protocol, forward.port) for forward in found} == {("tcp", 80), ("udp", 53)}


def test_one_backend_gets_everything():
    rule = "ip daddr 10.70.0.200 tcp dport 80 dnat to 10.70.0.10"
    assert rule in _rules(Forward("10.70.0.200", "tcp", 80, ("10.70.0.10",)))


def test_connections_are_spread_over_backends():
    rule = (
        "ip daddr 10.70.0.200 tcp dport 80 dnat to numgen random mod 2 "
        "map { 0 : 10.70.0.10, 1 : 10.70.0.11 }"
    )
    assert rule in _rules(Forward("10.70.0.200", "tcp", 80, ("10.70.0.10", "10.70.0.11")))


def test_a_port_without_backend_is_refused_and_not_forwarded():
    rules = _rules(Forward("10.70.0.200", "tcp", 80, ()))
    assert not [rule for rule in rules if "dnat to" in rule]
    assert "ip daddr { 10.70.0.200 } meta l4proto tcp reject with tcp reset" in rules


def test_answers_to_the_hosts_own_connections_are_let_in_before_anything_is_refused():
    rules = _rules()
    refusal = next(number for number, rule in enumerate(rules) if "reject" in rule)
    assert rules.index("ct state established,related accept") < refusal


def test_the_table_is_replaced_in_one_transaction():
    rules = _rules()
    assert rules[:3] == ["table ip here", "delete table ip here", "table ip here {"]


def test_an_instance_without_services_has_no_refusals():
    assert not [rule for rule in _rules(addresses=()) if "reject" in rule]


def test_equal_wishes_give_equal_text():
    services = [_service("80/tcp", "443/tcp"), _service("53/udp")]
    ready = {"10.70.0.10", "10.70.0.11"}
    texts = {
        firewall.render("t", SUBNET, ["10.70.0.200"], firewall.forwards(order, ready))
        for order in (services, services[::-1])
    }
    assert len(texts) == 1


SAVED = """
*filter
:NETAVARK_FORWARD - [0:0]
-A FORWARD -m comment --comment "netavark firewall plugin rules" -j NETAVARK_FORWARD
-A NETAVARK_FORWARD -d 10.70.0.0/20 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A NETAVARK_FORWARD -s 10.71.0.0/20 -j ACCEPT
COMMIT
*nat
-A POSTROUTING -j NETAVARK-HOSTPORT-MASQ
-A POSTROUTING -s 10.70.0.0/20 -j NETAVARK-015372F33A73D
-A NETAVARK-015372F33A73D -d 10.70.0.0/20 -j ACCEPT
-A NETAVARK-015372F33A73D ! -d 224.0.0.0/4 -j MASQUERADE
COMMIT
"""


def test_podmans_own_rules_for_the_network_are_removed_and_no_others():
    commands = [" ".join(command) for command in firewall.stale(SAVED, SUBNET)]
    assert commands == [
        "iptables -t filter -D NETAVARK_FORWARD -d 10.70.0.0/20 -m conntrack "
        "--ctstate RELATED,ESTABLISHED -j ACCEPT",
        "iptables -t nat -D POSTROUTING -s 10.70.0.0/20 -j NETAVARK-015372F33A73D",
        "iptables -t nat -D NETAVARK-015372F33A73D -d 10.70.0.0/20 -j ACCEPT",
        "iptables -t nat -F NETAVARK-015372F33A73D",
        "iptables -t nat -X NETAVARK-015372F33A73D",
    ]


def test_a_network_without_traces_needs_no_commands():
    assert firewall.stale(SAVED, "10.72.0.0/20") == []


@pytest.mark.parametrize(
    ("present", "wanted", "lines"),
    [
        ((), ("10.0.0.1",), ["address add 10.0.0.1/32 dev l"]),
        (("10.0.0.1",), (), ["address delete 10.0.0.1/32 dev l"]),
        (("10.0.0.1",), ("10.0.0.1",), []),
    ],
)
def test_the_link_gets_what_it_lacks_and_loses_what_is_too_much(
    present: tuple[str, ...], wanted: tuple[str, ...], lines: list[str]
):
    assert links.address_batch("l", present, wanted).splitlines() == lines


def test_a_port_of_the_host_is_kept_for_the_networks_own_members():
    inside = firewall.Inside("10.70.0.1", 16443, "here-br")
    text = firewall.render("here", SUBNET, (), (), inside)
    rule = 'iifname != "here-br" ip daddr 10.70.0.1 tcp dport 16443 reject with tcp reset'
    assert rule in [line.strip() for line in text.splitlines()]
