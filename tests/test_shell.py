"""What makes a shell comfortable: Tab, a first answer, a word that was mistyped, narrow windows, no colours."""

from __future__ import annotations

import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from tests.populated import populated
from tests.running import environment, tol_db
from tol_db.cli import COMPLETE, cli
from tol_db.db.migrate import init, upgrade
from tol_db.db.names import names
from tol_db.errors import NotADatabase, did_you_mean
from tol_db.report.state import look
from tol_db.report.tables import cells, named_values, table

TOL_DB = [sys.executable, "-m", "tol_db"]


def change(db: Path, *statements: str) -> None:
    with closing(sqlite3.connect(db)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def steps(db: Path) -> list[str]:
    return [step.command for step in look(db).next]


# ------------------------------------------------------------------ Tab


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return populated(tmp_path_factory.mktemp("shell") / "tol.sqlite").path


def asked_by(shell: str, db: Path, words: str) -> list[str]:
    """What a shell is offered for the last of these words, which may be empty; as its script asks."""
    typed = words.split(" ")
    variables = {
        COMPLETE: f"{shell}_complete",
        "COMP_WORDS": f"tol-db {words}",
        "COMP_CWORD": typed[-1] if shell == "fish" else str(len(typed)),
        "TOL_DB": str(db),
    }
    done = subprocess.run(TOL_DB, capture_output=True, text=True, env=environment(**variables), check=True)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    if shell == "zsh":  # type, word, help: a line each
        return lines[1::3]
    return [line.split(",")[1].split("\t")[0] for line in lines if line]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("mater", ["materialize"]),
        ("report sta", ["status"]),
        ("materialize --dataset ", ["tol"]),
        ("materialize --dataset=t", ["tol"]),
        ("dataset move ", ["tol"]),
        ("plan --split ", ["train", "train_small", "val"]),
        ("plan out --split val --split t", ["train", "train_small"]),
        ("plan --recipe t", ["tol10m"]),
        ("split x --within v", ["val"]),
        ("plan --blacklist r", ["rare"]),
        ("label --taxonomy t", ["tol"]),
        ("taxonomy assemble x --source ", ["itis", "tol"]),
        ("taxonomy prune i", ["itis"]),
        ("taxonomy diff tol t", ["tol"]),
        ("taxonomy ex", ["export", "explain"]),
        ("plan --license cc-by-n", ["cc-by-nc", "cc-by-nc-nd", "cc-by-nc-sa", "cc-by-nd"]),
        ("plan --license cc-by,cc-by-n", [f"cc-by,cc-by-{kind}" for kind in ("nc", "nc-nd", "nc-sa", "nd")]),
        ("plan --license cc-by-nc,cc-by-n", [f"cc-by-nc,cc-by-{kind}" for kind in ("nc-nd", "nc-sa", "nd")]),
        ("report audit split_c", ["split_counters"]),
        ("report audit split_counters shard_c", ["shard_counters"]),
        ("--db /nowhere/tol.sqlite materialize --dataset ", []),
    ],
)
def test_tab_completes_words_and_the_names_that_the_database_holds(
    whole: Path, words: str, wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COMPLETE, "bash_complete")
    monkeypatch.setenv("TOL_DB", str(whole))
    *before, last = words.split(" ")
    offered = ShellComplete(cli, {}, "tol-db", COMPLETE).get_completions(before, last)
    assert [each.value for each in offered] == wanted


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_is_told_the_same(whole: Path, shell: str) -> None:
    assert asked_by(shell, whole, "plan --split ") == ["train", "train_small", "val"]


def test_a_real_bash_completes_by_the_script(whole: Path, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    command = tmp_path / "tol-db"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m tol_db "$@"\n')
    command.chmod(0o755)
    script = """
        eval "$(tol-db completion bash)"
        COMP_WORDS=(tol-db plan --split tr) COMP_CWORD=3
        "$(complete -p tol-db | sed 's/.*-F \\([^ ]*\\).*/\\1/')" tol-db tr --split
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [bash, "--norc", "-c", script],
        capture_output=True,
        text=True,
        env=environment(PATH=path, TOL_DB=str(whole)),
        check=True,
    )
    assert done.stdout.split() == ["train", "train_small"]


def test_names_are_read_without_a_trace_and_never_fail(whole: Path, tmp_path: Path) -> None:
    db = Path(shutil.copy(whole, tmp_path))
    assert names(db, "split") == ["train", "train_small", "val"]
    assert [entry.name for entry in tmp_path.iterdir()] == [db.name]
    with closing(sqlite3.connect(db)) as writer:  # a run is at work: its log is read along
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("UPDATE split SET name = 'train_tiny' WHERE name = 'train_small'")
        writer.commit()
        assert names(db, "split") == ["train", "train_tiny", "val"]
    (tmp_path / "text").write_text("not a database")
    assert names(tmp_path / "text", "split") == names(tmp_path / "none", "split") == names(tmp_path, "split") == []


def test_completion_prints_a_script_for_the_shell_in_use() -> None:
    for shell in ("bash", "zsh", "fish"):
        done = CliRunner().invoke(cli, ["completion"], env={"SHELL": f"/usr/bin/{shell}"})
        assert f"{COMPLETE}={shell}_complete" in done.output
    done = CliRunner().invoke(cli, ["completion"], env={"SHELL": "/bin/tcsh"})
    assert (done.exit_code, "for which shell?" in done.output) == (2, True)


# ------------------------------------------------------------------ tol-db alone


def test_without_a_database_one_is_made(tmp_path: Path) -> None:
    told = tol_db(tmp_path / "tol.sqlite").stdout
    assert "not there yet" in told
    assert steps(tmp_path / "tol.sqlite") == ["init", "demo"]
    assert f"tol-db --db {tmp_path / 'tol.sqlite'} init" in told  # what was named is named again
    assert list(tmp_path.iterdir()) == []


def test_an_old_schema_is_upgraded_first(tmp_path: Path) -> None:
    init(tmp_path / "tol.sqlite")
    upgrade(tmp_path / "tol.sqlite", "0003")
    assert steps(tmp_path / "tol.sqlite") == ["backup FILE", "upgrade"]


def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tol.sqlite").write_text("something else")
    with pytest.raises(NotADatabase):
        look(tmp_path / "tol.sqlite")
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as other:
        other.execute("CREATE TABLE alembic_version (version_num)")
    tol_db(tmp_path / "other.sqlite", expect=65)


def test_the_next_step_follows_from_what_is_there(demo_db: Path, tmp_path: Path) -> None:
    init(tmp_path / "empty.sqlite")
    assert steps(tmp_path / "empty.sqlite")[-1] == "ingest tol10m DIR"
    assert steps(demo_db) == ["plan OUT --dataset NAME --split val --split train --split train_small"]
    facts = dict(look(demo_db).facts)
    assert (facts["images"], facts["splits"]) == ("90", "val, train, train_small")
    change(demo_db, "DELETE FROM blacklist_entry", "DELETE FROM blacklist")
    assert steps(demo_db)[0].startswith("ingest blacklist ")
    change(demo_db, "DELETE FROM split_member", "UPDATE split SET parent_id = NULL", "DELETE FROM split")
    assert steps(demo_db) == ["split val --fraction 0.05"]
    change(demo_db, "UPDATE container SET state = 'expected'")
    assert steps(demo_db)[0] == "ingest containers DIR"


def test_taxonomies_are_assembled_then_give_labels(demo_db: Path) -> None:
    added = "INSERT INTO taxonomy (name, version, kind, priority, created_at) VALUES"
    change(demo_db, f"{added} ('itis', '1', 'source', 1, '2026-01-01T00:00:00Z')")
    assert steps(demo_db)[0] == "taxonomy assemble NAME"
    change(demo_db, f"{added} ('tol', '1', 'assembled', NULL, '2026-01-01T00:00:00Z')")
    assert steps(demo_db)[0] == "label"
    assert dict(look(demo_db).facts)["taxonomies"] == "itis@1, tol@1; labels resolved by none of them"
    change(
        demo_db,
        """INSERT INTO label_resolution (taxonomy_id, label_id, state, change, new_label_id)
           SELECT 2, min(id), 'unmatched', 'unresolved', min(id) FROM label""",
    )
    assert (steps(demo_db)[0], look(demo_db).next[0].why[:26]) == ("label", "resolve the labels that we")
    change(
        demo_db,
        """INSERT INTO label_resolution (taxonomy_id, label_id, state, change, new_label_id)
           SELECT 2, id, 'unmatched', 'unresolved', id FROM label WHERE id > (SELECT min(id) FROM label)""",
    )
    assert steps(demo_db)[0].startswith("plan ")
    assert dict(look(demo_db).facts)["taxonomies"] == "itis@1, tol@1; labels resolved by tol@1"
    change(demo_db, f"{added} ('itis', '2', 'source', 1, '2026-01-01T00:00:00Z')")
    assert steps(demo_db)[0] == "taxonomy assemble tol"


def test_a_dataset_is_written_then_verified_then_exported(whole: Path, tmp_path: Path) -> None:
    db = Path(shutil.copy(whole, tmp_path))
    change(db, "DELETE FROM lease", "DELETE FROM submission", "UPDATE shard SET state = 'planned'")
    change(db, "UPDATE dataset_split SET written = 0, left_out = 0")
    assert steps(db) == ["materialize --dataset tol", "slurm submit --dataset tol"]
    planned = dict(look(db).facts)["dataset tol"]
    change(db, "UPDATE dataset_split SET written = planned", "UPDATE shard SET state = 'complete'")
    assert [step.split()[0] for step in steps(db)] == ["verify", "report", "export"]
    assert planned == "0 of 6 shards, 0 of 40 images"
    change(db, "UPDATE shard SET state = 'verified'")
    assert [step.split()[0] for step in steps(db)] == ["report", "export"]
    assert dict(look(db).facts)["dataset tol"] == "6 of 6 shards, 40 of 40 images"
    change(
        db,
        """INSERT INTO lease SELECT id, 'x', 'elsewhere', 7, NULL, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'),
           strftime('%Y-%m-%dT%H:%M:%SZ', 'now') FROM dataset""",
    )
    assert steps(db) == ["report status --dataset tol"]
    assert "at work: process 7 on elsewhere" in dict(look(db).facts)["dataset tol"]
    change(db, "UPDATE lease SET heartbeat_at = '2026-01-01T00:00:00Z'")  # dead
    change(db, "UPDATE shard SET state = 'bad' WHERE number = 0", "UPDATE dataset_split SET written = written - 1")
    assert steps(db)[:2] == ["verify --dataset tol --repair", "materialize --dataset tol"]
    assert "1 shards bad or missing" in dict(look(db).facts)["dataset tol"]
    change(
        db,
        """INSERT INTO submission (dataset_id, kind, slurm_job_id, submitted_at)
           SELECT id, 'array', '1', '2026-01-01T00:00:00Z' FROM dataset""",
    )
    assert "slurm status --dataset tol" in steps(db)


def test_every_next_step_is_a_command_that_there_is(demo_db: Path, tmp_path: Path) -> None:
    from tests.test_house import commands

    known = {path for path, _ in commands()}
    init(tmp_path / "empty.sqlite")
    offered = steps(tmp_path / "none.sqlite") + steps(tmp_path / "empty.sqlite") + steps(demo_db)
    for step in offered:
        words = tuple(step.split())
        assert words[:1] in known or words[:2] in known, step


def test_a_run_that_was_cut_off_is_put_right_before_it_is_looked_at(demo_db: Path, tmp_path: Path) -> None:
    """The log of a killed writer lies beside the file."""
    code = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode = WAL');"
        "c.execute(\"UPDATE blacklist SET name = 'renamed'\"); c.commit(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(demo_db)], check=True)
    assert Path(f"{demo_db}-wal").stat().st_size
    assert dict(look(demo_db).facts)["blacklists"] == "renamed"


# ------------------------------------------------------------------ help


def test_help_of_a_group_names_every_command_of_it() -> None:
    told = CliRunner().invoke(cli, ["taxonomy", "--help"], prog_name="tol-db").output.partition("Commands:")[2]
    words = [line.split()[0] for line in told.splitlines() if line.startswith("  ") and line[2] != " "]
    assert words[0] == "assemble"
    assert {"list", "export", "prune", "resolve", "report", "diff", "explain", "lineage"} < set(words)


def test_values_have_the_same_names_in_every_command() -> None:
    from tests.test_house import commands

    for path, command in commands():
        ctx = click.Context(command, info_name=" ".join(path))
        told = command.get_help(ctx)
        assert not re.search(r"--\S+ (INTEGER|FLOAT)", told), path
        assert "--dataset TEXT" not in told, path


# ------------------------------------------------------------------ did you mean


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["plann"], "did you mean plan?"),
        (["status"], "did you mean `tol-db slurm status` or `tol-db report status`?"),
        (["auddit"], "did you mean `tol-db report audit`?"),
        (["ingest", "lables"], "did you mean labels?"),
        (["report", "statsu"], "'status'"),
        (["plan", "--datset", "x"], "'--dataset'"),
        (["zzzzzz"], "`tol-db --help` lists the commands"),
    ],
)
def test_a_mistyped_word_is_met_with_the_one_that_was_meant(tmp_path: Path, words: list[str], hint: str) -> None:
    done = CliRunner().invoke(cli, ["--db", str(tmp_path / "tol.sqlite"), *words], prog_name="tol-db")
    assert done.exit_code == 2
    assert hint in done.output


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("report", "status", "--dataset", "TOLL"), "did you mean tol? datasets: tol"),
        (("plan", "out", "--dataset", "x", "--split", "trian"), "did you mean train"),
        (("plan", "out", "--dataset", "x", "--split", "val", "--blacklist", "rear"), "did you mean rare?"),
        (("plan", "out", "--dataset", "x", "--split", "val", "--recipe", "tol10"), "did you mean tol10m?"),
        (("split", "x", "--except", "vall"), "did you mean val?"),
        (("report", "audit", "shard_counter"), "did you mean shard_counters"),
    ],
)
def test_a_mistyped_name_is_met_with_those_that_there_are(
    whole: Path, tmp_path: Path, words: tuple[str, ...], hint: str
) -> None:
    db = Path(shutil.copy(whole, tmp_path))
    done = CliRunner().invoke(cli, ["--db", str(db), *words], prog_name="tol-db")
    assert done.exit_code == 2
    assert hint in done.output


def test_a_name_that_looks_like_nothing_is_met_with_what_there_is() -> None:
    assert did_you_mean("x", ["train", "val"], "splits: train, val") == "splits: train, val"
    assert did_you_mean("Train", ["train", "val"], "…") == "did you mean train? …"


# ------------------------------------------------------------------ width and colour


def test_columns_are_counted_as_a_terminal_shows_them() -> None:
    assert (cells("oak"), cells("山雀"), cells("café"), cells("cafe\u0301")) == (3, 4, 4, 4)
    told = table(("name", "images"), [("山雀", 1), ("oak", 20)]).splitlines()
    assert {cells(line) for line in told} == {len("name  images")}


def test_a_table_is_cut_to_the_terminal_and_never_in_a_pipe() -> None:
    rows = [("x" * 60, "山" * 30, 5)]
    for width in (200, 60, 45):
        assert max(cells(line) for line in table(("one", "two", "three"), rows, width).splitlines()) <= width
    assert "x" * 60 in table(("one", "two", "three"), rows)


def test_a_table_that_is_far_too_wide_shows_one_value_a_line() -> None:
    columns = [f"column_{n}" for n in range(8)]
    told = table(columns, [[f"value {n}" * 3 for n in range(8)]], 40)
    assert all(name in told for name in columns)
    assert max(map(cells, told.splitlines())) <= 40
    assert "value 7value 7" in told


def test_long_values_go_on_in_the_next_line() -> None:
    told = named_values([("detail", "a word " * 20), ("id", "x" * 70)], 40)
    assert max(map(cells, told.splitlines())) <= 40
    assert told.replace("\n        ", "").count("x") == 70


def on_a_terminal(db: Path, *words: str, **variables: str) -> bytes:
    """What a command prints where it believes to have a terminal."""
    parent, child = pty.openpty()
    env = {k: v for k, v in environment(TERM="xterm-256color", **variables).items() if v}
    process = subprocess.Popen([*TOL_DB, "--db", str(db), *words], stdout=child, stderr=child, env=env)
    os.close(child)
    told = b""
    try:
        while data := os.read(parent, 65536):
            told += data
    except OSError:  # EIO: the other end is closed
        pass
    finally:
        os.close(parent)
        process.wait(timeout=60)
    return told


def test_no_color_is_honoured_and_columns_too(whole: Path) -> None:
    words = ("report", "audit", "outcomes_by_source", "images_without_file")
    narrow = on_a_terminal(whole, *words, COLUMNS="50").decode()
    assert max(cells(line) for line in narrow.splitlines() if "audits" not in line and ": " not in line) <= 50
    assert "\x1b[3" not in narrow


def test_no_color_takes_the_bold_of_the_demo_away(tmp_path: Path) -> None:
    run: Callable[..., bytes] = on_a_terminal
    (tmp_path / "tol.sqlite").write_text("in the way")  # it stops after the first command
    plain = run(tmp_path / "x", "-q", "demo", str(tmp_path), "--images", "50", NO_COLOR="1")
    assert b"$ tol-db" in plain
    assert b"\x1b[" not in plain
