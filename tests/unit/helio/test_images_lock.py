import pytest
from hypothesis import given
from hypothesis import strategies as st

from helio.host import Command, CommandError
from helio.images.lock import (
    Lifted,
    LockError,
    make_lock,
    parse_constraints,
    parse_lock,
    reason,
    render_lifted,
    smallest_lift,
)

EXPLANATION = """error: No solution found when resolving dependencies
  cause: Because nova>=34.0.0 depends on keystoneauth1>=5.16.0 and cinder>=29.0.0 depends on
  keystoneauth1==5.15.0, we can conclude that they are incompatible."""


class Resolver:
    """A host whose `uv` knows versions and which constraints exclude each other."""

    def __init__(self, conflicts: set[str], versions: dict[str, str], always: bool = False):
        self.conflicts = conflicts
        self.versions = versions
        self.always = always
        self.files: dict[str, str] = {}

    def run(self, command: Command) -> str:
        assert command.argv[:3] == ("uv", "pip", "compile")
        option = next(item for item in command.argv if item.startswith("--constraints="))
        with open(option.partition("=")[2], encoding="utf-8") as file:
            constrained = {
                name: line.rpartition("===")[2]
                for line in file.read().splitlines()
                for name in [line.partition("===")[0]]
            }
        if self.always or self.conflicts.intersection(constrained):
            raise CommandError(command.argv, 1, "", EXPLANATION)
        chosen = {name: constrained.get(name, version) for name, version in self.versions.items()}
        return "".join(f"{name}=={version}\n" for name, version in chosen.items())

    def write(self, path, content, mode=0o644):
        self.files[path.name] = content


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "openstack"
    folder.mkdir()
    (folder / "requirements.in").write_text("nova\n")
    (tmp_path / "upper-constraints.txt").write_text(
        "# a list\nalembic===1.19.1\nkeystoneauth1===5.15.0\nunused===1\n"
    )
    return folder


def test_constraints_are_read_under_normal_names_with_their_markers():
    text = "# words\n\noslo.config===1.0\nnumpy===2.0;python_version=='3.11'\nnumpy===3.0\n"

    assert parse_constraints(text) == {
        "oslo-config": ("oslo.config===1.0",),
        "numpy": ("numpy===2.0;python_version=='3.11'", "numpy===3.0"),
    }


def test_a_lock_is_read_with_several_versions_of_one_package():
    text = (
        "# words\na==1 \\\n    --hash=sha256:00\n"
        "b==2 ; python_full_version < '3.12' \\\n    --hash=sha256:00\nb==3\n"
    )

    assert parse_lock(text) == {"a": ("1",), "b": ("2", "3")}


@given(st.sets(st.integers(0, 40).map(str)), st.sets(st.integers(0, 40).map(str)))
def test_exactly_the_conflicting_constraints_are_lifted(conflicting, others):
    lifted = smallest_lift(conflicting | others, lambda lifted: conflicting <= lifted)

    assert lifted == tuple(sorted(conflicting))


def test_of_two_constraints_that_exclude_each_other_only_one_is_lifted():
    lifted = smallest_lift({"a", "b", "c"}, lambda lifted: bool(lifted & {"a", "b"}))

    assert len(lifted) == 1


def test_a_reason_is_who_wants_another_version():
    assert reason("keystoneauth1", "5.15.0", EXPLANATION) == (
        "nova>=34.0.0 depends on keystoneauth1>=5.16.0"
    )


def test_a_reason_names_the_requirements_that_pin_a_package():
    text = "Because you require horizon==27.0.0 and horizon==26.0.0, we can conclude that …"

    assert reason("horizon", "26.0.0", text) == "requirements.in names horizon==27.0.0"


def test_an_explanation_that_is_not_understood_is_kept_whole():
    assert reason("a", "1", "something\n  else") == "something else"


def test_a_lock_follows_all_constraints_but_the_impossible_one(folder):
    host = Resolver({"keystoneauth1"}, {"alembic": "9", "keystoneauth1": "5.18.1", "nova": "34"})

    lifted = make_lock(folder, host)

    assert lifted == (
        Lifted(
            name="keystoneauth1",
            constraint="5.15.0",
            locked="5.18.1",
            reason="nova>=34.0.0 depends on keystoneauth1>=5.16.0",
        ),
    )
    assert parse_lock(host.files["requirements.lock"])["alembic"] == ("1.19.1",)
    assert host.files["lifted.yaml"] == render_lifted(lifted)


def test_requirements_that_contradict_each_other_are_refused(folder):
    host = Resolver(set(), {}, always=True)

    with pytest.raises(LockError, match=r"cannot lock .*requirements.in: .*nova>=34"):
        make_lock(folder, host)
    assert host.files == {}


def test_a_resolver_that_fails_for_another_reason_is_not_taken_for_a_conflict(folder):
    class Offline(Resolver):
        def run(self, command: Command) -> str:
            raise CommandError(command.argv, 2, "", "error: Failed to fetch")

    with pytest.raises(CommandError, match="Failed to fetch"):
        make_lock(folder, Offline(set(), {}))
