"""Limits that the kernel sets: a full file system, a longest file, a root that may not be written."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import Undisturbed, check_equal, check_nothing_false, copy_of, undisturbed
from tests.running import environment, tol_db

MODES = [(), ("--receipts-only",)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, _demo_ingested: Path) -> Undisturbed:
    return undisturbed(_demo_ingested, tmp_path_factory.mktemp("limits"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 KiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if not _mount(mount, "size=600k"):
        pytest.skip("no right to mount a tmpfs here")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


def _mount(folder: Path, options: str) -> bool:
    if shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_disk_that_fills_up_ends_the_run_with_73_and_more_room_lets_it_go_on(
    base: Undisturbed, tmp_path: Path, small_disk: Path, mode: tuple[str, ...]
) -> None:
    db, out = copy_of(base.db, base.out, tmp_path / "run")
    shutil.rmtree(out)
    out.symlink_to(small_disk)
    shutil.copytree(base.out, small_disk, dirs_exist_ok=True)
    failed = tol_db(db, "materialize", "--workers", 1, *mode, expect=73)
    assert "No space left on device" in failed.stderr
    assert "make room" in failed.stderr
    check_nothing_false(db, out, base)
    assert not list(out.rglob("shard-*.partial"))
    assert 0 < len(list(out.rglob("*.tar"))) < len(base.shards)
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    tol_db(db, "materialize", *mode)
    if mode:
        tol_db(db, "collect")
    check_equal(db, out, base)


def _no_longer_than(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("mode", MODES)
def test_a_limit_on_the_length_of_files_is_told_and_leaves_nothing(
    base: Undisturbed, tmp_path: Path, mode: tuple[str, ...]
) -> None:
    db, out = copy_of(base.db, base.out, tmp_path / "run")
    longest = max(len(data) for data in base.shards.values())
    command = [sys.executable, "-m", "tol_db", "--db", str(db), "materialize", "--workers", "1", *mode]
    failed = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
        check=False,
        preexec_fn=_no_longer_than(longest - 1),
    )
    assert failed.returncode == 73, failed.stderr
    assert failed.returncode != -signal.SIGXFSZ
    check_nothing_false(db, out, base)
    assert not list(out.rglob("shard-*.partial"))
    tol_db(db, "materialize", *mode)
    if mode:
        tol_db(db, "collect")
    check_equal(db, out, base)
