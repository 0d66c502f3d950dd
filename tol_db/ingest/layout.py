"""Where the images of the three sources lie in a TreeOfLife-10M tree. Looks, changes nothing.

::

    <root of eol>/image_set_07.tar.gz            archives, directly under the root
    <root of inat21>/[train/]00371_Animalia_…/   class folders
    <root of bioscan>/part12/                    part folders, whatever numbers there are

Everything else under a root is reported with a reason, never taken for a fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from materialize.containers import kind_of, storage_error
from tol_db.errors import InputMissing, UsageError
from tol_db.ingest.files import escaped, is_stored, require_folder

KEYS = ("eol", "inat21", "bioscan")

_CLASS_FOLDER = re.compile(r"(\d{1,9})_(.+)", re.ASCII | re.DOTALL)
_PART_FOLDER = re.compile(r"part(\d{1,9})", re.ASCII)
_LAST_NUMBER = re.compile(r"(\d{1,9})\D*\Z", re.ASCII)
_ARCHIVE_SUFFIX = re.compile(r"\.(tar|tar\.gz|tgz)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Roots:
    """The folder of each source that is there; container paths are relative to it."""

    eol: Path | None = None
    inat21: Path | None = None
    bioscan: Path | None = None

    def items(self) -> Iterator[tuple[str, Path]]:
        """(source key, folder) of the sources that are there."""
        for key, folder in zip(KEYS, (self.eol, self.inat21, self.bioscan), strict=True):
            if folder is not None:
                yield key, folder

    @classmethod
    def of(cls, key: str, folder: Path) -> Roots:
        """One source only."""
        return cls(**{key: folder})


@dataclass(frozen=True, slots=True)
class Found:
    """A container on disk.

    Attributes:
        path: relative to the root of its source, with ``/``.
        kind: ``tar_gz``, ``tar`` or ``directory``.
        group_number: iNat21 class number, BIOSCAN part number; None for archives.
        group_name: iNat21 class name, the folder's name without its number.
        number: the number that its name carries, of any kind; None where it carries none.
    """

    path: str
    kind: str
    group_number: int | None
    group_name: str | None
    number: int | None


@dataclass(frozen=True, slots=True)
class Ignored:
    """Something under a root that is no container, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """What lies under the root of a source; containers in natural order of path."""

    containers: tuple[Found, ...]
    ignored: tuple[Ignored, ...]


def natural_key(path: str) -> list[tuple[int, str]]:
    """Sorts ``part2`` before ``part10``."""
    parts = re.split(r"(\d+)", path)
    return [(int(part), part) if i % 2 and len(part) < 1000 else (0, part) for i, part in enumerate(parts)]


def discover(key: str, root: Path) -> Discovery:
    """The containers of a source.

    Raises:
        InputMissing, InputError: ``root`` is not a folder.
        ContainerError: it cannot be listed.
    """
    require_folder(root)
    containers: list[Found] = []
    ignored: list[Ignored] = []
    below = "train" if key == "inat21" and (root / "train").is_dir() else ""
    for name in _names(root):
        if name == below:
            continue
        _sort_in(key, root, "", name, containers, ignored, why_not="beside train/" if below else "")
    for name in _names(root / below) if below else ():
        _sort_in(key, root / below, f"{below}/", name, containers, ignored)
    containers.sort(key=lambda found: natural_key(found.path))
    ignored.sort(key=lambda other: natural_key(other.path))
    return Discovery(tuple(containers), tuple(ignored))


def chosen_of(root: Path, containers: Sequence[Found], only: range | None) -> tuple[Found, ...]:
    """The containers with these numbers.

    Args:
        root: of their source; containers: all of that.
        only: as :func:`tol_db.ingest.containers.ingest_containers`.

    Raises:
        UsageError: the range names none of them.
    """
    if only is None:
        return tuple(containers)
    named = [found.number for found in containers if found.number is not None]
    numbers = named if len(set(named)) == len(containers) else range(1, len(containers) + 1)
    chosen = tuple(found for found, number in zip(containers, numbers, strict=True) if number in only)
    if not chosen:
        there = f"there are {min(numbers)} to {max(numbers)}" if containers else "there is none at all"
        raise UsageError(f"{root}: no container in the range {only.start}-{only.stop - 1}", hint=there)
    return chosen


def _sort_in(
    key: str,
    folder: Path,
    prefix: str,
    name: str,
    containers: list[Found],
    ignored: list[Ignored],
    why_not: str = "",
) -> None:
    found = _recognised(key, folder, name)
    if not is_stored(name):
        ignored.append(Ignored(prefix + escaped(name), "its name is not UTF-8"))
    elif found is None or why_not:
        ignored.append(Ignored(prefix + name, why_not or _why_ignored(key, folder / name)))
    else:
        containers.append(Found(prefix + name, found.kind, found.group_number, found.group_name, found.number))


def _recognised(key: str, folder: Path, name: str) -> Found | None:
    kind = kind_of(folder / name)
    if key == "eol":
        if kind not in ("tar", "tar_gz") or name.startswith(".") or not (folder / name).is_file():
            return None
        last = _LAST_NUMBER.search(_ARCHIVE_SUFFIX.sub("", name))
        return Found(name, kind, None, None, int(last[1]) if last else None)
    match = (_CLASS_FOLDER if key == "inat21" else _PART_FOLDER).fullmatch(name)
    if kind != "directory" or match is None:
        return None
    number = int(match[1])
    return Found(name, "directory", number, match[2] if key == "inat21" else None, number)


def _why_ignored(key: str, path: Path) -> str:
    kind = kind_of(path)
    if path.name.startswith("."):
        return "hidden"
    if key == "eol":
        return "a folder, not an archive" if kind == "directory" else "not a .tar.gz, .tgz or .tar file"
    if kind in ("tar", "tar_gz") or path.suffix.lower() == ".zip":
        return "an archive: extract it first"
    wanted = "<number>_<class name>" if key == "inat21" else "part<number>"
    return f"not named {wanted}" if kind == "directory" else "not a folder"


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError as err:
        raise storage_error(folder, None, err) from err


def find_tree(folder: Path) -> Path | None:
    """The TreeOfLife-10M folder: ``folder`` itself, or the one within it; None where there is none.

    Raises:
        InputMissing, InputError: ``folder`` is not a folder.
        UsageError: it holds several.
    """
    require_folder(folder)
    if _is_tree(folder) or any(tree_roots(folder).items()):
        return folder
    trees = [child for child in sorted(folder.iterdir()) if child.is_dir() and _is_tree(child)]
    named = [tree for tree in trees if tree.name == "TreeOfLife-10M"]
    if len(trees) > 1 and len(named) != 1:
        raise UsageError(
            f"{folder}: holds several trees: {', '.join(tree.name for tree in trees)}",
            hint="name one of them",
        )
    return next(iter(named or trees), None)


def tree_roots(tree: Path) -> Roots:
    """The sources of a tree (or of its ``dataset`` folder): ``dataset/eol`` …, in upper or lower case."""
    dataset = tree / "dataset" if (tree / "dataset").is_dir() else tree
    folders = {name.lower(): dataset / name for name in sorted(_names(dataset)) if name.lower() in KEYS}
    return Roots(**{key: folder for key, folder in folders.items() if folder.is_dir()})


def find_roots(folder: Path, source: str | None = None) -> Roots:
    """The sources under a folder that is a tree, holds one, or is the folder of one source.

    Args:
        folder: what a user named.
        source: only this one; a folder that is no tree is taken as its folder.

    Raises:
        InputMissing: not there, or a tree without it; InputError: a file.
        UsageError: it is no tree, and which source's folder it is cannot be told.
    """
    tree = find_tree(folder)
    if tree is None:
        return Roots.of(source or _guess(folder), folder)
    roots = tree_roots(tree)
    wanted = dict(roots.items())
    if source is not None:
        wanted = {key: root for key, root in wanted.items() if key == source}
    if not wanted:
        raise InputMissing(
            f"{tree}: no dataset/{source or 'eol, dataset/inat21 or dataset/bioscan'} in this tree",
            hint="check the path; is the disk mounted?",
        )
    return Roots(**wanted)


def _is_tree(folder: Path) -> bool:
    return (folder / "metadata").is_dir() or (folder / "dataset").is_dir()


def _guess(folder: Path) -> str:
    """Which source's folder this is, by its name, else by what lies in it."""
    if folder.resolve().name.lower() in KEYS:
        return folder.resolve().name.lower()
    likely = [key for key in KEYS if discover(key, folder).containers]
    if len(likely) != 1:
        raise UsageError(
            f"{folder}: neither a TreeOfLife-10M tree nor clearly the folder of one source",
            hint="say whose it is: --source eol, --source inat21 or --source bioscan",
        )
    return likely[0]
