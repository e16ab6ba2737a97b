"""The values of `charmkit.spec`."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmkit.interfaces import _base
from charmkit.spec import Addresses, SecretRef, Snapshot, in_url, unit_number


def snapshot(entropy):
    return Snapshot(app="web", unit="web/0", entropy=entropy)


def test_a_unit_has_a_number():
    assert unit_number("self-signed-certificates/12") == 12


@pytest.mark.parametrize(
    ("host", "text"),
    [("10.0.0.5", "10.0.0.5"), ("a.test", "a.test"), ("fd00::5", "[fd00::5]"), ("", "")],
)
def test_an_address_of_version_6_stands_in_brackets_before_a_port(host, text):
    assert in_url(host) == text


@given(st.binary(min_size=32, max_size=32), st.text(), st.integers(1, 43))
def test_random_text_is_the_same_all_through_a_dispatch(entropy, name, length):
    seen = snapshot(entropy)
    assert seen.random_text(name, length) == seen.random_text(name, length)
    assert len(seen.random_text(name, length)) == length


@given(st.binary(min_size=32, max_size=32), st.text())
def test_random_text_never_looks_like_an_option(entropy, name):
    assert not snapshot(entropy).random_text(name).startswith("-")


def test_random_text_differs_by_name_and_by_dispatch():
    one, other = snapshot(b"1" * 32), snapshot(b"2" * 32)
    assert one.random_text("a") != one.random_text("b")
    assert one.random_text("a") != other.random_text("a")


def test_secrets_are_not_in_the_text_of_a_snapshot():
    seen = dataclasses.replace(
        snapshot(b"entropy-of-this-dispatch"),
        secrets={"secret:1": {"password": "hidden"}},
        own_secrets={"mine": {"password": "hidden"}},
    )
    assert "hidden" not in repr(seen)
    assert "entropy-of-this-dispatch" not in repr(seen)


def test_clients_outside_use_the_unit_address_while_there_is_no_service_address():
    assert Addresses(unit_ip="10.0.0.1").service_ip == "10.0.0.1"
    assert Addresses(unit_ip="10.0.0.1", service_ips=("10.8.0.1",)).service_ip == "10.8.0.1"


def test_addresses_are_given_once():
    where = Addresses(unit_ip="10.0.0.1", service_ips=("10.8.0.1", "10.0.0.1"))
    assert where.ips == ("10.0.0.1", "10.8.0.1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wire:
    """A wire model."""

    auth_url: str | None = None
    odd: str | None = _base.key("odd_one")


def test_a_wire_model_takes_what_it_knows_and_ignores_the_rest():
    bag = {"auth-url": "u", "odd_one": "o", "egress-subnets": "10.0.0.1/32"}
    assert _base.parse(Wire, bag) == Wire(auth_url="u", odd="o")


def test_an_empty_value_of_a_bag_counts_as_missing():
    assert _base.parse(Wire, {"auth-url": ""}) == Wire()


def test_a_dumped_model_takes_away_what_it_has_not():
    ref = SecretRef("a")
    assert _base.dump(Wire(odd="o")) == {"auth-url": None, "odd_one": "o"}
    assert _base.dump(dataclasses.replace(Wire(), odd=ref))["odd_one"] == ref


def test_nonsense_in_a_bag_reads_as_nothing():
    assert _base.from_json("{no json") is None
    assert _base.from_json(None) is None


def test_equal_values_have_equal_json():
    assert _base.to_json({"b": 1, "a": 2}) == _base.to_json({"a": 2, "b": 1})


@pytest.mark.parametrize("number", [0, 12])
def test_a_unit_knows_the_host_names_of_the_others(number):
    where = Addresses(unit_name="web-3.web-endpoints.cloud.svc.cluster.local")
    seen = dataclasses.replace(snapshot(b""), unit="web/3", addresses=where)
    assert seen.host(number) == f"web-{number}.web-endpoints.cloud.svc.cluster.local"
