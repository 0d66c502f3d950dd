"""The batch scripts: each is sound shell, stands by itself, and takes the values of a submission."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materialize.slurm.scripts import MARK, log_path, log_pattern, render
from tol_db import settings as tol_settings
from tol_db.errors import InputError, UsageError

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "slurm").glob("*.sbatch"))
SHELL = [*SCRIPTS, ROOT / "slurm" / "pipeline.sh", *sorted((ROOT / "slurm" / "profiles").glob("*.sh"))]


def directives(text: str) -> dict[str, str]:
    lines = re.findall(r"^#SBATCH (--[a-z-]+)(?:=(.*))?$", text, re.MULTILINE)
    return {option: value.strip('"') for option, value in lines}


@pytest.mark.parametrize("path", SHELL, ids=lambda path: path.name)
def test_each_script_is_sound_shell(path: Path) -> None:
    subprocess.run(["bash", "-n", path], check=True)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_each_script_stops_at_errors_appends_to_its_log_and_says_how_it_is_used(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert MARK in text.splitlines()
    assert f"slurm/{path.name}" in text, "an example"
    assert {"--time", "--mem", "--cpus-per-task", "--output", "--open-mode"} <= set(directives(text))
    assert directives(text)["--open-mode"] == "append"
    assert all(len(line) <= 120 for line in text.splitlines())


def test_the_downloads_ask_for_what_is_published() -> None:
    asked = {
        name: (found["--time"], found["--cpus-per-task"])
        for name in ("eol", "inat21", "bioscan")
        for found in [directives((ROOT / "slurm" / f"download_{name}.sbatch").read_text(encoding="utf-8"))]
    }
    assert asked == {"eol": ("18:00:00", "12"), "inat21": ("04:00:00", "8"), "bioscan": ("02:00:00", "20")}


@pytest.mark.parametrize("name", ["hipergator", "osc"])
def test_a_profile_sets_what_submit_understands(name: str, tmp_path: Path) -> None:
    command = f'set -eu; . "{ROOT}/slurm/profiles/{name}.sh"; env -0'
    told = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], "GROUP": "lab", "PROJECT": "lab"},
    )
    environ = dict(pair.split("=", 1) for pair in told.stdout.decode().split("\0") if pair)
    (tmp_path / "tol-db.toml").write_text("", encoding="utf-8")
    found = tol_settings.load(config=tmp_path / "tol-db.toml", environ=environ).slurm
    assert found.account == "lab"
    assert found.setup and "lab" in found.setup
    assert found.cpus > 1


def test_values_of_a_submission_replace_those_of_the_script() -> None:
    text = render("materialize", {"--time": "01:00:00", "--array": "0-9%2"}, {}, ["--qos=long", "--exclusive"])
    found = directives(text)
    assert (found["--time"], found["--array"], found["--qos"]) == ("01:00:00", "0-9%2", "long")
    assert found["--requeue"] == "" and found["--open-mode"] == "append"
    assert text.count("--time") == 1


def test_an_option_of_the_user_stands_instead_of_ours() -> None:
    text = render("materialize", {"--signal": "B:USR1@75"}, {}, ["--open-mode=truncate", "--signal=B:USR1@30"])
    assert (directives(text)["--open-mode"], directives(text)["--signal"]) == ("truncate", "B:USR1@30")
    assert (text.count("--open-mode"), text.count("--signal")) == (1, 1)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=40)
)
def test_any_path_reaches_the_command_as_it_is(tmp_path: Path, value: str) -> None:
    tool = tmp_path / "tol-db"
    tool.write_text('#!/bin/sh\nprintf "%s\\0" "$@"\n')
    tool.chmod(0o755)
    text = render(
        "collect", {}, {"TOL_DB_SLURM_BIN": str(tmp_path), "TOL_DB": "/db", "TOL_DB_SLURM_DATASET": value}
    )
    done = subprocess.run(["bash", "-s"], input=text.encode(), capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:3] == ["collect", "--dataset", value]


def test_shell_lines_of_the_user_come_before_the_command_and_may_be_careless(tmp_path: Path) -> None:
    tool = tmp_path / "tol-db"
    tool.write_text('#!/bin/sh\necho "$FROM_SETUP $*"\n')
    tool.chmod(0o755)
    setup = f'false\nexport FROM_SETUP="$UNSET-yes"\nexport PATH="{tmp_path}:$PATH"'
    text = render("report", {}, {"TOL_DB": "/db", "TOL_DB_SLURM_SETUP": setup})
    done = subprocess.run(["bash", "-s"], input=text, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["-yes", "report", "status"]


def test_an_array_task_does_not_even_know_the_database(tmp_path: Path) -> None:
    tool = tmp_path / "tol-db"
    tool.write_text('#!/bin/sh\necho "${TOL_DB-none}" "$@"\n')
    tool.chmod(0o755)
    values = {"TOL_DB_SLURM_BIN": str(tmp_path), "TOL_DB_SLURM_SNAPSHOT": "/out/a b.sqlite"}
    done = subprocess.run(
        ["bash", "-s"],
        input=render("materialize", {}, values),
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "TOL_DB": "/shared/tol.sqlite"},
    )
    assert done.stdout.startswith("none slurm task /out/a b.sqlite")


@pytest.mark.parametrize("option", ["", "qos=long", "--comment=a\nrm -rf /"])
def test_what_is_no_option_of_sbatch_is_refused(option: str) -> None:
    with pytest.raises(UsageError):
        render("materialize", {}, {}, [option])


def test_a_folder_that_cannot_stand_in_a_script_is_refused() -> None:
    with pytest.raises(UsageError):
        render("materialize", {"--chdir": '/a "quoted" folder'}, {})


def test_a_percent_sign_in_the_root_is_no_pattern_of_the_log() -> None:
    assert log_pattern(Path("/out/50%/_logs"), "array", is_array=True) == "/out/50%%/_logs/array-%A_%a.log"
    assert log_path(Path("/out/50%/_logs"), "array", "12", 3) == Path("/out/50%/_logs/array-12_3.log")


def test_settings_come_from_the_environment_before_the_toml_file(tmp_path: Path) -> None:
    config = tmp_path / "tol-db.toml"
    config.write_text('[slurm]\naccount = "lab"\ncpus = 4\nsbatch_options = ["--qos=a b"]\n', encoding="utf-8")
    found = tol_settings.load(
        config=config, environ={"TOL_DB_SLURM_CPUS": "16", "TOL_DB_SLURM_REQUEUES": "0"}
    ).slurm
    assert (found.account, found.cpus, found.requeues) == ("lab", 16, 0)
    assert found.sbatch_options == ("--qos=a b",)


@pytest.mark.parametrize(
    "line", ["cpus = 0", 'cpus = "many"', "account = 7", "rate = -1", "qos = 'x'", "requeues = -1"]
)
def test_a_wrong_setting_names_the_file_and_the_key(tmp_path: Path, line: str) -> None:
    config = tmp_path / "tol-db.toml"
    config.write_text(f"[slurm]\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=line.split()[0]):
        tol_settings.load(config=config, environ={})
