"""Settings and progress: which of several sources wins, and what a log shows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tol_db import progress, settings
from tol_db.errors import InputError, InputMissing


def test_flags_stand_before_the_environment_before_the_file_before_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.load(environ={}).database == Path("tol.sqlite")
    (tmp_path / "tol-db.toml").write_text('database = "file.sqlite"\nworkers = 3\n')
    assert settings.load(environ={}).database == Path("file.sqlite")
    assert settings.load(environ={}).workers == 3
    environ = {"TOL_DB": "variable.sqlite", "TOL_DB_WORKERS": "5"}
    assert settings.load(environ=environ).database == Path("variable.sqlite")
    assert settings.load(environ=environ).workers == 5
    assert settings.load(environ=environ, database=Path("flag.sqlite"), workers=7).database == Path("flag.sqlite")
    assert settings.load(environ=environ, workers=7).workers == 7


def test_a_path_in_a_named_file_is_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('database = "db/tol.sqlite"\n')
    found = settings.load(environ={"TOL_DB_CONFIG": str(tmp_path / "own.toml")})
    assert found.database == tmp_path / "db" / "tol.sqlite"


@pytest.mark.parametrize("text", ["workers = 0", "workers = true", "database = 3", "recipe = 3", "nosuch = 1", "="])
def test_a_wrong_file_is_refused_and_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"own\.toml"):
        settings.load(environ={}, config=path)


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputMissing):
        settings.load(environ={}, config=tmp_path / "nosuch.toml")


def test_a_wrong_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="TOL_DB_WORKERS"):
        settings.load(environ={"TOL_DB_WORKERS": "many"})


def test_slurms_grant_counts_before_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "37")
    assert settings.usable_cores() == 37
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "")
    assert settings.usable_cores() >= 1


def test_a_log_gets_lines_with_rate_and_remaining_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 12.0, 12.0, 13.0, 20.0, 20.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    with progress.track("reading", total=100) as tracker:
        tracker.advance(25)
        tracker.advance(5)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "reading: 25 images of 100 images, 2.1 images/s, 36 s to go",
        "reading: 30 images of 100 images, 1.5 images/s, 47 s to go",
    ]


def test_quick_work_and_quiet_work_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.track("reading", total=3) as tracker:
        tracker.advance(3)
    progress.be_quiet(True)
    try:
        with progress.track("reading") as tracker:
            tracker.advance()
            tracker.expect(2)
    finally:
        progress.be_quiet(False)
    assert capsys.readouterr().err == ""


def test_amounts_and_durations_read_as_people_write_them() -> None:
    assert progress.amount(1234, "images") == "1,234 images"
    assert progress.amount(3 * 2**30, "bytes") == "3.0 GiB"
    assert progress.amount(512, "bytes") == "512 B"
    assert [progress.duration(s) for s in (0, 45, 200, 7500)] == ["0 s", "45 s", "3 min", "2 h 05 min"]
