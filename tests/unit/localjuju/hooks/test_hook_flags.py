import pytest

from localjuju.hooks.flags import Flag, UsageError, parse

FLAGS = (
    Flag("relation", ("r",)),
    Flag("app", is_bool=True),
    Flag("all", ("a",), is_bool=True),
    Flag("format"),
    Flag("output", ("o",)),
)


@pytest.mark.parametrize(
    ("line", "texts", "switches", "positional"),
    [
        ("", {}, {}, ()),
        ("key", {}, {}, ("key",)),
        ("-r 7 key", {"relation": "7"}, {}, ("key",)),
        ("key -r 7", {"relation": "7"}, {}, ("key",)),
        ("--relation=db:7 - db/0", {"relation": "db:7"}, {}, ("-", "db/0")),
        ("-relation db:7", {"relation": "db:7"}, {}, ()),
        ("-r=7", {"relation": "7"}, {}, ()),
        ("-r7", {"relation": "7"}, {}, ()),
        ("-ofile", {"output": "file"}, {}, ()),
        ("--format json", {"format": "json"}, {}, ()),
        ("-format=json", {"format": "json"}, {}, ()),
        ("--app x", {}, {"app": True}, ("x",)),
        ("--app=false", {}, {"app": False}, ()),
        ("--app=False", {}, {"app": False}, ()),
        ("--app=True x", {}, {"app": True}, ("x",)),
        ("-app=1", {}, {"app": True}, ()),
        ("-a", {}, {"all": True}, ()),
        ("-ar 7", {"relation": "7"}, {"all": True}, ()),
        ("-- --app -r", {}, {}, ("--app", "-r")),
        ("x -- y", {}, {}, ("x", "y")),
        ("-r -1", {"relation": "-1"}, {}, ()),
        ("--format=", {"format": ""}, {}, ()),
    ],
)
def test_flags_are_found_anywhere(line, texts, switches, positional):
    parsed = parse(FLAGS, line.split(" ") if line else [])
    assert (dict(parsed.texts), dict(parsed.switches), parsed.positional) == (
        texts,
        switches,
        positional,
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--nope", "option provided but not defined: --nope"),
        ("-x", "option provided but not defined: -x"),
        ("--nope=1", "option provided but not defined: --nope"),
        ("key -r", "option needs an argument: -r"),
        ("--format", "option needs an argument: --format"),
        (
            "--app=maybe",
            'invalid value "maybe" for option --app: strconv.ParseBool: parsing "maybe": '
            "invalid syntax",
        ),
    ],
)
def test_wrong_usage_is_named(line, message):
    with pytest.raises(UsageError) as caught:
        parse(FLAGS, line.split(" "))
    assert str(caught.value) == message
