from pathlib import Path

import pytest

from helio import settings
from helio.host import HelioError
from helio.settings import Settings


def test_without_a_file_the_defaults_count(tmp_path):
    found = settings.load({"HELIO_HOME": str(tmp_path)})
    assert found == Settings(home=tmp_path, store=tmp_path / "storage")


def test_without_a_variable_the_home_is_the_system_wide_one():
    assert settings.home({}) == Path("/var/lib/helio")


def test_a_second_cloud_may_share_the_store(tmp_path):
    (tmp_path / "helio.yaml").write_text(
        "instance: second\nsubnet: 10.9.0.0/20\nstore: /var/lib/helio/storage\n"
    )
    found = settings.load({"HELIO_HOME": str(tmp_path)})
    assert (found.instance, found.subnet) == ("second", "10.9.0.0/20")
    assert found.store_run == Settings().store_run == Path("/run/helio/storage")


def test_the_tunnel_network_follows_the_subnet_unless_it_is_given(tmp_path):
    file = tmp_path / "helio.yaml"
    file.write_text("subnet: 10.9.0.0/20\n")
    assert settings.load({"HELIO_HOME": str(tmp_path)}).tunnel_subnet == "10.9.16.0/24"
    file.write_text("subnet: 10.9.0.0/20\ntunnel-subnet: 10.8.0.0/24\n")
    assert settings.load({"HELIO_HOME": str(tmp_path)}).tunnel_subnet == "10.8.0.0/24"


def test_both_models_have_names_of_the_operators_choice(tmp_path):
    (tmp_path / "helio.yaml").write_text("model: one\nmachine-model: two\n")
    found = settings.load({"HELIO_HOME": str(tmp_path)})
    assert found.models == {"pods": "one", "machines": "two"}


def test_a_store_elsewhere_has_run_time_state_of_its_own():
    assert Settings(store=Path("/data/storage")).store_run == Path("/run/helio/data/storage")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour: red", "unknown key colour"),
        ("instance: My Cloud", "instance must be lower-case"),
        ("subnet: 10.0.0.1/20", "subnet: .*host bits"),
        ("subnet: 10.0.0.0/28", "too small"),
        ("external-subnet: 10.0.0.0/28", "external-subnet .*too small"),
        ("machine-model: 1", "machine-model must be"),
        ("store: here", "absolute path"),
        ("- a", "keys and values"),
        ("a: [", "cannot read"),
    ],
)
def test_a_bad_value_is_named(tmp_path, text, message):
    (tmp_path / "helio.yaml").write_text(text)
    with pytest.raises(HelioError, match=message):
        settings.load({"HELIO_HOME": str(tmp_path)})
