import pytest

from localjuju.hooks.formats import InputError, parse_expiry, read_string_map, render, rfc3339


@pytest.mark.parametrize(
    ("value", "style", "text"),
    [
        (None, "json", "null\n"),
        (None, "smart", ""),
        ("", "smart", ""),
        ("", "json", '""\n'),
        ("two\nlines", "smart", "two\nlines\n"),
        (True, "smart", "True\n"),
        (True, "json", "true\n"),
        (True, "yaml", "true\n"),
        (3, "smart", "3\n"),
        (1.0, "json", "1\n"),
        (1.5, "json", "1.5\n"),
        (["a/0", "a/1"], "smart", "a/0\na/1\n"),
        ([], "json", "[]\n"),
        ([], "smart", ""),
        ({}, "json", "{}\n"),
        ({}, "smart", "{}\n"),
        ({"b": 1, "a": "x y"}, "json", '{"a":"x y","b":1}\n'),
        ({"b": 1, "a": "x y"}, "smart", "a: x y\nb: 1\n"),
        ({"k": "é<&>"}, "json", '{"k":"é\\u003c\\u0026\\u003e"}\n'),
        ("text", "yaml", "text\n"),
        ({"a": {"b": ["c"]}}, "yaml", "a:\n  b:\n  - c\n"),
    ],
)
def test_values_print_as_juju_prints_them(value, style, text):
    assert render(value, style) == text


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('{"a": "1", "b": ""}', {"a": "1", "b": ""}),
        ('{"n": 1.10, "t": true, "z": null}', {"n": "1.10", "t": "true", "z": ""}),
        ('{"smile": "\\ud83d\\ude00"}', {"smile": "😀"}),
        ("a: 1.10\nb: yes\nc: ~\nd: 'x: y'\n", {"a": "1.10", "b": "yes", "c": "", "d": "x: y"}),
        ("key: |\n  first\n  second\n", {"key": "first\nsecond\n"}),
        ("", {}),
    ],
)
def test_scalars_become_the_text_that_was_written(text, result):
    assert read_string_map(text) == result


@pytest.mark.parametrize("text", ["- a", "plain", "a: [1]", '["a"]', '{"a": {}}', "a: 'b", "7"])
def test_anything_but_a_map_of_strings_is_refused(text):
    with pytest.raises(InputError):
        read_string_map(text)


def test_a_megabyte_of_text_passes():
    value = "x\n" * 500_000
    assert read_string_map("key: |\n" + "".join(f"  {v}\n" for v in value.split())) == {
        "key": value
    }


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1h", 3600),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        ("2027-01-15T08:00:10Z", 10),
        ("2027-01-15T09:00:10+01:00", 10),
    ],
)
def test_expiry_is_a_time_or_a_duration(text, seconds):
    assert parse_expiry(text, 1_800_000_000.0) - 1_800_000_000.0 == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "0s", "soon", "2027-01-15T08:00:10", "1h!"])
def test_other_expiry_is_refused(text):
    with pytest.raises(ValueError):
        parse_expiry(text, 0.0)


def test_times_are_whole_seconds_in_utc():
    assert rfc3339(1_800_000_000.9) == "2027-01-15T08:00:00Z"
