"""What there is already of a download, and what is to be done: looks, changes nothing."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tol_db.errors import InputError, UsageError
from tol_db.fetch.manifest import Extract, RemoteFile, Section
from tol_db.fetch.notes import Fetched, Notes
from tol_db.fetch.partial import Partial
from tol_db.fetch.space import require_space
from tol_db.fetch.urls import shown
from tol_db.progress import amount


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user wants of a download.

    Attributes:
        numbers: of numbered files, only these; None for all.
        extract: take archives apart where the manifest says so.
        keep_archive: keep an archive that was taken apart.
        as_tar: inflate ``.tar.gz`` to ``.tar``, in its place.
        jobs: files fetched at once.
        threads: that write members of an archive.
    """

    numbers: range | None = None
    extract: bool = True
    keep_archive: bool = True
    as_tar: bool = False
    jobs: int = 2
    threads: int = 4


@dataclass(frozen=True, slots=True)
class Item:
    """A file of the manifest, and what there is of it.

    Attributes:
        file: as the manifest has it.
        root: folder of its section; path: where the file goes.
        state: ``missing``, ``begun``, ``unverified`` (there, but not by a fetch that ended, or touched since),
            ``there``, ``unpacked`` (extracted or inflated as wished).
        have: bytes that need not be fetched.
        note: of the fetch that brought it, or None; of what is ``unverified``, only that of a ``.tar`` that was
            inflated and is to be compared with it.
    """

    file: RemoteFile
    root: Path
    path: Path
    state: str
    have: int
    note: Fetched | None

    @property
    def tar(self) -> Path:
        """Where it goes when it is inflated."""
        return self.path.with_name(re.sub(r"\.(tar\.gz|tgz)\Z", ".tar", self.path.name, flags=re.IGNORECASE))

    def place_of(self, note: Fetched) -> Path:
        """Where the bytes lie that a note is of."""
        return self.tar if note.state == "inflated" else self.path

    def describe(self) -> str:
        """A line for a dry run."""
        exact = "" if self.file.bytes is not None else "about "
        size = exact + amount(self.file.size, "bytes") if self.file.size is not None else "size not known"
        state = f"begun, {amount(self.have, 'bytes')} there" if self.state == "begun" else self.state
        optional = ", if the server has it" if self.file.optional and self.state == "missing" else ""
        return f"{self.path}: {size}, {state}{optional}; {shown(self.file.url)}"


def folder_of(tree: Path, folder: str) -> Path:
    """A folder of a tree, in the upper or lower case that it has there already (``dataset/EOL``)."""
    here = tree
    for step in folder.split("/"):
        exact = here / step
        if not exact.is_dir() and here.is_dir():
            alike = [p for p in sorted(here.iterdir()) if p.name.lower() == step.lower() and p.is_dir()]
            exact = alike[0] if alike else exact
        here = exact
    return here


def look(section: Section, tree: Path, wishes: Wishes) -> list[Item]:
    """What there is of the files that are wanted, in the order of the manifest.

    Raises:
        UsageError: no file has a number that is wanted.
        InputError: the tree is a file.
    """
    if tree.exists() and not tree.is_dir():
        raise InputError(f"{tree}: a file, not a folder", hint="name the folder of the tree; it is made if new")
    notes = Notes(tree)
    root = folder_of(tree, section.folder)
    files = section.files
    if wishes.numbers is not None:
        files = tuple(file for file in files if file.number in wishes.numbers)
        if not files:
            wanted = f"{wishes.numbers.start}-{wishes.numbers.stop - 1}"
            raise UsageError(f"the manifest has no {section.key} file numbered {wanted}")
    return [_item(file, root, notes.read(section.folder, file.path), wishes) for file in files]


def _item(file: RemoteFile, root: Path, note: Fetched | None, wishes: Wishes) -> Item:
    path = root / file.path
    partial = Partial(path)
    item = Item(file, root, path, "missing", 0, note)
    size = file.size or 0
    if note is not None and contradicts(file, note) is None:
        if note.state == "extracted" and file.extract and places(root, file.extract) >= note.parts:
            return Item(file, root, path, "unpacked", size, note)
        if note.state == "inflated" and note.is_of(item.tar):
            return Item(file, root, path, "unpacked", size, note)
        if note.state in ("whole", "moving") and note.is_of(path):
            return Item(file, root, path, "there", size, note)
    if path.exists():
        return Item(file, root, path, "unverified", size, None)
    if note is not None and note.state == "inflated" and os.path.lexists(item.tar):
        return Item(file, root, path, "unverified", size, note)  # a tree that was copied without its times
    if (begun := partial.note()) is not None and begun.url == shown(file.url):
        have = partial.size() if begun.by == "http" else partial.written()
        return Item(file, root, path, "begun" if have else "missing", have, None)
    return item


def contradicts(file: RemoteFile, note: Fetched) -> str | None:
    """What the manifest says otherwise than the note of an earlier fetch, or None."""
    if note.state == "inflated":
        return None  # the sums of the note are those of the .tar
    if file.bytes is not None and file.bytes != note.bytes:
        return f"{note.bytes:,} bytes; the manifest says {file.bytes:,}"
    if file.sha256 is not None and file.sha256 != note.sha256:
        return f"sha256 {note.sha256}; the manifest says {file.sha256}"
    if file.md5 is not None and note.md5 is not None and file.md5 != note.md5:
        return f"md5 {note.md5}; the manifest says {file.md5}"
    return None


def places(root: Path, extract: Extract) -> int:
    """How many folders there are where those of the archive go."""
    final = root / extract.into if extract.into else root
    if not final.is_dir():
        return 0
    return sum(1 for path in final.iterdir() if extract.parts.fullmatch(path.name) and path.is_dir())


def require_room(items: list[Item], wishes: Wishes, what: str) -> None:
    """Whether all that is to come has room, as far as sizes are known.

    Raises: CannotWrite.
    """
    if not items:
        return
    need = sum(max(0, (i.file.size or 0) - i.have) for i in items if i.state in ("missing", "begun"))
    todo = [item for item in items if item.state != "unpacked"]
    if wishes.extract:
        need += sum((i.file.extract.about or i.file.size or 0) for i in todo if i.file.extract and not _filling(i))
    if wishes.as_tar:  # one .tar.gz is removed as its .tar is whole; only those in work are there twice
        packed = (item for item in todo if item.note is None or item.note.state != "inflated")
        sizes = sorted((item.file.size or 0 for item in packed), reverse=True)
        need += sum(sizes[: wishes.jobs])
    require_space(items[0].root, need, what)


def _filling(item: Item) -> bool:
    """Whether an extraction was begun: what it takes is not told from what it took."""
    return (item.root / f".{item.path.name}.extracting").exists()
