"""Operators' overrides: reading, layering, merging."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charmkit import overrides

PROCESSES = ("web-api", "web-worker")


def layers(process="web-api", unit="web/0", **options):
    config = {name.replace("_", "-"): text for name, text in options.items()}
    return overrides.layers(config, process, PROCESSES, unit)


def merged(base, **options):
    return overrides.merge(overrides.parse(base), layers(**options))


# --- reading -----------------------------------------------------------------------------------


def test_options_comments_and_continuations_are_read():
    text = "# c\n[DEFAULT]\na = 1\n; c\nb: 2\nc = one\n  two\n[x]\nd =\n"
    assert overrides.parse(text) == {
        "DEFAULT": {"a": ("1",), "b": ("2",), "c": ("one\ntwo",)},
        "x": {"d": ("",)},
    }


def test_a_repeated_option_has_several_values():
    assert overrides.parse("[a]\nb = 1\nb = 2\n") == {"a": {"b": ("1", "2")}}


def test_quotes_around_a_value_are_not_part_of_it():
    assert overrides.parse("[a]\nb = ' x '\n") == {"a": {"b": (" x ",)}}


def test_a_value_may_hold_an_equals_sign():
    assert overrides.parse("[a]\nb = c = d\n") == {"a": {"b": ("c = d",)}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("debug = true", "line 1 stands before the first \\[section\\]"),
        ("[a]\nnonsense", "line 2 is no 'option = value'"),
        ("[a\nb = 1", "line 1 is no section"),
        ("[]\nb = 1", "line 1 is no section"),
    ],
)
def test_what_is_no_ini_is_refused_with_its_line(text, reason):
    with pytest.raises(overrides.OverrideError, match=f"config-overrides: {reason}"):
        layers(config_overrides=text)


NAME = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
VALUE = st.from_regex(r"[a-z0-9:/=.$]{0,12}", fullmatch=True)
INI = st.dictionaries(
    NAME, st.dictionaries(NAME, st.lists(VALUE, min_size=1, max_size=3).map(tuple)), max_size=4
)


@given(INI)
def test_what_is_rendered_reads_back(ini):
    assert overrides.parse(overrides.render(ini, "comment")) == ini


# --- layers ------------------------------------------------------------------------------------


def test_the_later_layer_wins():
    texts = {
        "config_overrides_all": "[a]\nb = all\nc = all\nd = all\ne = all\n",
        "config_overrides": "[a]\nc = service\nd = service\ne = service\n",
        "config_overrides_process": "[web-api: a]\nd = process\ne = process\n",
        "config_overrides_unit": "[web/0: a]\ne = unit\n",
    }
    assert merged("[a]\nb = charm\nz = charm\n", **texts) == {
        "a": {
            "b": ("all",),
            "c": ("service",),
            "d": ("process",),
            "e": ("unit",),
            "z": ("charm",),
        }
    }


def test_a_process_gets_its_own_overrides_only():
    text = "[web-worker: a]\nb = 1\n"
    assert layers(process="web-api", config_overrides_process=text) == ()
    assert len(layers(process="web-worker", config_overrides_process=text)) == 1


def test_a_unit_gets_its_own_overrides_only():
    text = "[web/1: DEFAULT]\nb = 1\n"
    assert layers(unit="web/0", config_overrides_unit=text) == ()
    assert len(layers(unit="web/1", config_overrides_unit=text)) == 1


def test_an_override_replaces_all_values_of_an_option():
    assert merged("[a]\nb = 1\nb = 2\n", config_overrides="[a]\nb = 3\n") == {"a": {"b": ("3",)}}


def test_an_option_is_the_same_with_dashes():
    assert merged("[a]\nmax_retries = 1\n", config_overrides="[a]\nmax-retries = 2\n") == {
        "a": {"max-retries": ("2",)}
    }


def test_an_override_says_where_it_stands():
    (override,) = layers(config_overrides="[a]\nb = 1\n")
    assert override.source == "config-overrides"


def test_a_process_that_does_not_exist_is_refused_by_name():
    with pytest.raises(overrides.OverrideError, match=r"web-apii.* web-api, web-worker"):
        layers(config_overrides_process="[web-apii: a]\nb = 1\n")


@pytest.mark.parametrize("section", ["other/0: a", "web: a", "web/x: a", "a"])
def test_a_unit_that_cannot_exist_is_refused(section):
    with pytest.raises(overrides.OverrideError, match="config-overrides-unit"):
        layers(config_overrides_unit=f"[{section}]\nb = 1\n")


def test_a_charm_without_the_options_has_no_overrides():
    assert layers() == ()
