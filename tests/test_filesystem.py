"""Which file system a path lies on, told from the mount table."""

from __future__ import annotations

from pathlib import Path

from tol_db.db.filesystem import filesystem_of


def mountinfo(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "mountinfo"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def test_the_file_system_of_a_path_is_that_of_the_longest_mount_point_above_it(tmp_path: Path) -> None:
    here = tmp_path.resolve()
    (here / "in").mkdir()
    table = mountinfo(
        tmp_path,
        "1 0 8:1 / / rw - ext4 /dev/vda rw",
        f"2 1 0:40 / {here} rw shared:1 - nfs4 server:/x rw",
        f"3 1 0:41 / {here}/i rw - tmpfs tmpfs rw",
        "a line that is none",
    )
    found = filesystem_of(here / "in" / "tol.sqlite", table)
    assert (found.type, found.mount_point, found.is_network) == ("nfs4", str(here), True)
    assert filesystem_of(Path("/"), table).type == "ext4"


def test_of_two_mounts_on_one_point_the_later_is_seen(tmp_path: Path) -> None:
    table = mountinfo(tmp_path, "1 0 8:1 / / rw - ext4 a rw", "2 1 0:40 / / rw - lustre b rw")
    assert filesystem_of(tmp_path, table).is_network


def test_a_mount_point_with_a_blank_is_understood(tmp_path: Path) -> None:
    folder = tmp_path.resolve() / "my disk"
    folder.mkdir()
    table = mountinfo(tmp_path, f"1 0 0:4 / {str(folder).replace(' ', chr(92) + '040')} rw - cifs x rw")
    assert filesystem_of(folder / "x.sqlite", table).type == "cifs"


def test_without_a_mount_table_a_path_counts_as_local(tmp_path: Path) -> None:
    assert not filesystem_of(tmp_path, tmp_path / "none").is_network
