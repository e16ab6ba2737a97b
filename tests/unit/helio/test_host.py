import sys
from pathlib import Path

import pytest

from helio.host import (
    NOT_FOUND,
    Command,
    CommandError,
    DryRunHost,
    LocalHost,
    clean_environment,
)


@pytest.fixture
def local(tmp_path):
    return LocalHost(tmp_path / "log")


@pytest.fixture
def record():
    return []


@pytest.fixture
def dry(host, record):
    return DryRunHost(host, record.append)


def python(code: str, **options) -> Command:
    return Command((sys.executable, "-c", code), **options)


def test_a_command_returns_its_standard_output(local):
    assert local.run(Command(("printf", "a\\nb\\n"))) == "a\nb\n"


def test_a_failed_command_tells_status_and_last_line(local):
    with pytest.raises(CommandError, match="exit status 3: second") as caught:
        local.run(Command(("sh", "-c", "echo out; echo first >&2; echo second >&2; exit 3")))
    assert (caught.value.status, caught.value.stdout) == (3, "out\n")


def test_a_program_that_does_not_exist_is_status_127(local):
    with pytest.raises(CommandError) as caught:
        local.run(Command(("no-such-program",)))
    assert caught.value.status == NOT_FOUND


def test_much_output_on_both_pipes_does_not_hang(local):
    code = "import sys\nfor _ in range(20000): print('o' * 40); print('e' * 40, file=sys.stderr)"
    assert len(local.run(python(code)).splitlines()) == 20000


def test_each_line_is_shown_as_it_comes(local):
    lines = []
    local.run(Command(("sh", "-c", "echo one; echo two"), on_line=lines.append))
    assert lines == ["one", "two"]


def test_input_reaches_the_command_and_not_the_log(local, tmp_path):
    assert local.run(Command(("tr", "a-z", "A-Z"), input="hidden", private=True)) == "HIDDEN"
    log = (tmp_path / "log").read_text()
    assert "tr a-z A-Z" in log
    assert "hidden" not in log.lower()


def test_the_log_has_what_was_done_and_not_what_was_read(local, tmp_path):
    local.run(Command(("printf", "looked"), reads=True))
    local.run(Command(("printf", "changed")))
    with pytest.raises(CommandError):
        local.run(Command(("sh", "-c", "echo broken >&2; exit 1"), reads=True))
    lines = [line[20:] for line in (tmp_path / "log").read_text().splitlines()]
    assert "  changed" in lines
    assert "  looked" not in lines
    assert any(line.endswith("exit status 1: broken") for line in lines)


def test_a_command_that_ignores_its_input_is_no_error(local):
    assert local.run(Command(("true",), input="x" * 1_000_000)) == ""


def test_the_log_is_readable_by_its_owner_only(local, tmp_path):
    local.run(Command(("true",)))
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_child_sees_no_foreign_settings():
    environ = {
        "PATH": "/bin", "PIP_FIND_LINKS": "/x", "PYTHONPATH": "/x", "SNAP": "/x",
        "LD_LIBRARY_PATH": "/x", "UV_INDEX": "x", "https_proxy": "http://proxy",
    }  # fmt: skip
    assert clean_environment(environ, {"A": "1"}) == {
        "PATH": "/bin",
        "https_proxy": "http://proxy",
        "LC_ALL": "C.UTF-8",
        "A": "1",
    }


def test_a_written_file_has_its_mode_and_no_half_written_neighbour(local, tmp_path):
    local.write(tmp_path / "deep" / "file", "secret", 0o600)
    assert (tmp_path / "deep" / "file").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(local, tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        local.write(tmp_path / "file", "text")
    assert [path.name for path in tmp_path.iterdir() if path.name != "log"] == ["file"]


def test_removing_takes_files_and_folders_and_minds_nothing_missing(local, tmp_path):
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    local.remove(tmp_path / "link")
    assert (tmp_path / "folder").is_dir()
    local.remove(tmp_path / "folder")
    local.remove(tmp_path / "folder")
    assert not local.exists(tmp_path / "folder")


def test_a_dry_run_executes_reads_and_records_the_rest(dry, host, record):
    host.answer("cat", with_="real")
    assert dry.run(Command(("cat", "x"), reads=True)) == "real"
    assert dry.run(Command(("rm", "a b"))) == ""
    assert record == ["run rm 'a b'"]


def test_a_dry_run_sees_what_it_would_have_written(dry, host, record):
    path = Path("/etc/thing")
    dry.write(path, "new", 0o600)
    assert (dry.exists(path), dry.read(path)) == (True, "new")
    assert host.files == {}
    assert record == ["write /etc/thing (mode 0600)"]


def test_a_dry_run_sees_what_it_would_have_removed(dry, host, record):
    host.files[Path("/home/a")] = "x"
    dry.remove(Path("/home"))
    assert not dry.exists(Path("/home/a"))
    with pytest.raises(FileNotFoundError):
        dry.read(Path("/home/a"))
    dry.write(Path("/home/a"), "again")
    assert dry.read(Path("/home/a")) == "again"
    assert Path("/home/a") in host.files


def test_a_dry_run_says_nothing_about_removing_what_is_not_there(dry, record):
    dry.remove(Path("/nowhere"))
    assert record == []
