"""Templates: complete values or an error."""

import jinja2
import pytest

from charmkit.templates import Templates, ini_value


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.conf.j2").write_text("[a]\nb = {{ b|ini }}\n")
    (tmp_path / "script.py").write_text("print('{{ not a template }}')\n")
    return tmp_path


def test_a_template_is_rendered_from_values(folder):
    assert Templates(folder).render("a.conf.j2", {"b": 1}) == "[a]\nb = 1\n"


def test_a_value_that_is_not_there_is_an_error(folder):
    with pytest.raises(jinja2.UndefinedError, match="'b' is undefined"):
        Templates(folder).render("a.conf.j2", {})


def test_an_attribute_of_nothing_is_an_error(folder):
    with pytest.raises(jinja2.UndefinedError):
        Templates(folder).render_text("{{ database.address }}", {"database": None})


def test_a_file_that_is_no_template_is_copied(folder):
    assert "{{ not a template }}" in Templates(folder).render("script.py", {})


def test_a_file_that_is_not_there_is_an_error(folder):
    with pytest.raises(jinja2.TemplateNotFound, match=r"none\.py"):
        Templates(folder).render("none.py", {})


def test_charms_can_use_the_parts_that_charmkit_brings(folder):
    text = Templates(folder).render_text('{% include "log.j2" %}', {"config": {"debug": True}})
    assert "debug = True" in text


def test_a_dollar_is_written_so_that_it_is_one():
    assert ini_value("pa$word") == "pa$$word"


def test_a_value_cannot_begin_another_option():
    with pytest.raises(ValueError, match="line break"):
        ini_value("x\nadmin_token = y")


def test_a_value_can_stand_in_a_url():
    assert Templates().render_text("{{ 'a/b@c'|quote }}", {}) == "a%2Fb%40c"
