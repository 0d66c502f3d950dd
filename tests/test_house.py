"""The house rules that a machine can hold: lint, types, arrows between packages, help texts, the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.running import environment
from tol_db.cli import cli

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600, env=environment()
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


@pytest.mark.parametrize("words", [("check", "."), ("format", "--check", ".")])
def test_ruff_finds_nothing(words: tuple[str, ...]) -> None:
    run(tool("ruff"), *words)


def test_mypy_strict_finds_nothing() -> None:
    run(tool("mypy"))


def test_imports_run_one_way() -> None:
    run(tool("lint-imports"))


def test_alembic_check_finds_models_and_migrations_equal(tmp_path: Path) -> None:
    db = tmp_path / "tol.sqlite"
    run(sys.executable, "-m", "tol_db", "--db", str(db), "init")
    done = subprocess.run(
        [tool("alembic"), "check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=environment(TOL_DB=str(db)),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def commands(
    group: click.Group = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that is no group, with the words that call it."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None, (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(path, command, id="-".join(path)) for path, command in commands()]
)
def test_every_command_has_help_with_an_example_and_stands_in_the_docs(
    path: tuple[str, ...], command: click.Command
) -> None:
    assert command.help, path
    assert re.search(r"Examples?:", command.help), path
    example = " ".join(path)
    assert f"tol-db {example}" in command.help, path
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, (path, parameter.name)
    assert f"`tol-db {example}" in (ROOT / "docs" / "commands.md").read_text(encoding="utf-8"), path


def test_no_module_is_imported_that_help_does_not_need() -> None:
    code = "import sys; from tol_db.cli import cli; print(*sys.modules)"
    loaded = set(run(sys.executable, "-c", code).stdout.split())
    assert not loaded & {"sqlalchemy", "alembic", "numpy", "PIL", "webdataset", "rich.table", "ijson"}


def test_an_installed_wheel_works_outside_a_checkout(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", system_site_packages=False, with_pip=False)
    python = str(tmp_path / "venv" / "bin" / "python")
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, str(wheel))
    # the dependencies are those of this environment; the package itself is only the wheel's
    ours = run(sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    away = tmp_path / "away"
    away.mkdir()
    script = f"""
import sys
sys.path.append({ours!r})
import tol_db
assert tol_db.__file__.startswith({site!r}), tol_db.__file__
from tol_db.cli import cli
cli.main(["--db", "tol.sqlite", "init"])
"""
    run(python, "-I", "-c", script, cwd=away)
    assert (away / "tol.sqlite").stat().st_size > 0
    # the same, up to the schema and its migrations
    script = script.replace('"init"', '"upgrade"')
    run(python, "-I", "-c", script, cwd=away)
