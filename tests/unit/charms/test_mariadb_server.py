"""mariadb-k8s: the SQL that the server is told, and its size."""

import importlib.util
import pathlib
import sys

import pytest

SOURCE = pathlib.Path(__file__).parents[3] / "charms/mariadb-k8s/src/mariadb.py"
_spec = importlib.util.spec_from_file_location("mariadb_server", SOURCE)
mariadb = importlib.util.module_from_spec(_spec)
sys.modules["mariadb_server"] = mariadb
_spec.loader.exec_module(mariadb)

GIB = 1 << 30


def sql(*accounts):
    return mariadb.accounts_sql([mariadb.Account(*each) for each in accounts], "relation-")


@pytest.mark.parametrize(
    ("profile", "memory", "expected"),
    [
        ("small", 64 * GIB, 128),
        ("shared", GIB, 128),
        ("shared", 16 * GIB, 1024),
        ("dedicated", 16 * GIB, 8192),
        ("dedicated", 15 * GIB + 1, 7680),
    ],
)
def test_the_buffer_pool_follows_profile_and_memory(profile, memory, expected):
    assert mariadb.buffer_pool(profile, memory) == expected


def test_each_account_may_use_its_schema_only():
    text = sql(("relation-4", "nova_api", "p"))
    assert "CREATE DATABASE IF NOT EXISTS `nova_api` CHARACTER SET utf8mb3" in text
    # Without the backslash the account could use `novaXapi` too.
    assert "GRANT ALL PRIVILEGES ON `nova\\_api`.* TO 'relation-4'@'%';" in text


def test_a_password_is_always_one_text():
    assert r"IDENTIFIED BY 'a''b\\c'" in sql(("relation-4", "n", r"a'b\c"))


def test_accounts_without_a_relation_are_dropped_and_others_left_alone():
    text = sql(("relation-4", "a", "p"), ("relation-5", "b", "p"))
    assert r"user LIKE 'relation-%' AND user NOT IN ('relation-4', 'relation-5')" in text


def test_no_schema_is_ever_dropped_with_an_account():
    assert "DROP DATABASE" not in sql(("relation-4", "a", "p")) + sql()


def test_the_same_accounts_give_the_same_sql():
    assert sql(("relation-4", "a", "p")) == sql(("relation-4", "a", "p"))


@pytest.mark.parametrize(
    "name", ["mysql", "SYS", "information_schema", "", "a b", "a`b", "x" * 65]
)
def test_a_name_that_no_schema_may_have_is_refused(name):
    assert mariadb.refusal(name)


@pytest.mark.parametrize("name", ["placement", "nova_cell0", "My-App$1", "x" * 64])
def test_an_ordinary_name_is_taken(name):
    assert mariadb.refusal(name) is None


def test_dropping_quotes_the_name():
    assert mariadb.drop_sql("a`b") == "DROP DATABASE `a``b`;\n"
