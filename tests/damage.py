"""Damages one shard file in every way that a disk, a copy or a colleague does.

Each function of :data:`DAMAGES` takes the path of a good shard of two or more samples. What it rewrites is a
perfect archive otherwise: right headers, padding, end blocks. Where it says *size kept* the number of bytes is
what it was, so that size alone does not tell.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from materialize.shard import BLOCK, RECORD, member_header

Level = Literal["default", "deep"]


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a shard; ``start`` is where its header stands in the file it was read from."""

    name: str
    data: bytes
    start: int = 0

    @property
    def key(self) -> str:
        return self.name.partition(".")[0]

    @property
    def extension(self) -> str:
        return self.name.partition(".")[2]

    @property
    def end(self) -> int:
        """Where the next header stands."""
        return self.start + BLOCK + len(self.data) + -len(self.data) % BLOCK


def members(path: Path) -> list[Member]:
    """All members of a good shard, in order."""
    content = path.read_bytes()
    found, start = [], 0
    while content[start]:
        size = int(content[start + 124 : start + 135], 8)
        name = content[start : start + 100].rstrip(b"\0").decode()
        found.append(Member(name, content[start + BLOCK : start + BLOCK + size], start))
        start = found[-1].end
    return found


def samples(path: Path) -> list[list[Member]]:
    """The members of each sample, in order."""
    found: list[list[Member]] = []
    for member in members(path):
        if not found or found[-1][0].key != member.key:
            found.append([])
        found[-1].append(member)
    return found


def rewrite(path: Path, content: Iterable[Member], *, size: int | None = None) -> None:
    """Put a perfect archive of these members in place; with ``size``, its end is lengthened to that many bytes."""
    blocks = b"".join(member_header(m.name, len(m.data)) + m.data + bytes(-len(m.data) % BLOCK) for m in content)
    blocks += bytes(2 * BLOCK)
    blocks += bytes(-len(blocks) % RECORD)
    if size is not None:
        assert len(blocks) <= size, "it cannot be kept"
        blocks += bytes(size - len(blocks))
    path.write_bytes(blocks)


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Flip one bit, in place."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


def middle(path: Path, extension: str) -> Member:
    """A member with this extension, of a sample in the middle."""
    found = samples(path)
    return next(m for m in found[len(found) // 2] if m.extension == extension)


def _flat(found: list[list[Member]]) -> list[Member]:
    return [member for sample in found for member in sample]


def _size(path: Path) -> int:
    return path.stat().st_size


# ------------------------------------------------------------------ cut off


def cut_in_a_header(path: Path) -> None:
    os.truncate(path, middle(path, "jpg").start + 200)


def cut_in_a_body(path: Path) -> None:
    os.truncate(path, middle(path, "jpg").start + BLOCK + 300)


def cut_in_padding(path: Path) -> None:
    member = middle(path, "taxon.txt")
    os.truncate(path, member.start + BLOCK + len(member.data) + 5)


def cut_between_samples(path: Path) -> None:
    found = samples(path)
    os.truncate(path, found[len(found) // 2][0].start)


def cut_before_the_end_blocks(path: Path) -> None:
    os.truncate(path, members(path)[-1].end)


def cut_in_the_end_blocks(path: Path) -> None:
    os.truncate(path, members(path)[-1].end + BLOCK + 7)


def cut_in_the_record_padding(path: Path) -> None:
    os.truncate(path, _size(path) - 1)


def cut_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


def _cut_and_filled(cut: Callable[[Path], None]) -> Callable[[Path], None]:
    """Size kept: what was cut off reads as zeros, as after a crash of some file systems."""

    def damage(path: Path) -> None:
        size = _size(path)
        cut(path)
        os.truncate(path, size)

    return damage


def body_of_the_last_jpg_zeroed(path: Path) -> None:
    """Size kept, headers kept."""
    member = [m for m in members(path) if m.extension == "jpg"][-1]
    with path.open("r+b") as file:
        file.seek(member.start + BLOCK + len(member.data) // 2)
        file.write(bytes(len(member.data) - len(member.data) // 2))


# ------------------------------------------------------------------ one bit


def bit_in_the_name_of_a_header(path: Path) -> None:
    flip(path, middle(path, "jpg").start + 3)


def bit_in_the_size_of_a_header(path: Path) -> None:
    flip(path, middle(path, "jpg").start + 134)


def bit_in_the_checksum_of_a_header(path: Path) -> None:
    flip(path, middle(path, "sci.txt").start + 150)


def bit_in_the_owner_of_a_header(path: Path) -> None:
    """A byte that no reader looks at."""
    flip(path, middle(path, "sci.txt").start + 300)


def bit_in_a_text(path: Path) -> None:
    flip(path, middle(path, "taxon.txt").start + BLOCK + 4)


def bit_in_a_jpg(path: Path) -> None:
    member = middle(path, "jpg")
    flip(path, member.start + BLOCK + len(member.data) * 2 // 3)


def bit_in_the_head_of_a_jpg(path: Path) -> None:
    flip(path, middle(path, "jpg").start + BLOCK + 1)


def bit_in_padding(path: Path) -> None:
    member = middle(path, "taxon.txt")
    flip(path, member.end - 1)


def bit_in_the_end(path: Path) -> None:
    flip(path, _size(path) - 3)


# ------------------------------------------------------------------ members


def members_of_a_sample_swapped(path: Path) -> None:
    """Size kept."""
    found = samples(path)
    sample = found[len(found) // 2]
    sample[0], sample[1] = sample[1], sample[0]
    rewrite(path, _flat(found))


def contents_of_two_texts_swapped(path: Path) -> None:
    """Size kept: each text has the other's header."""
    found = samples(path)
    sample = found[len(found) // 2]
    one, two = (next(i for i, m in enumerate(sample) if m.extension == x) for x in ("sci.txt", "taxon.txt"))
    sample[one], sample[two] = (
        Member(sample[one].name, sample[two].data),
        Member(sample[two].name, sample[one].data),
    )
    rewrite(path, _flat(found), size=_size(path))


def jpgs_of_two_samples_swapped(path: Path) -> None:
    """Size kept: each jpg stands under the other's key."""
    found = samples(path)
    last = len(found) - 1
    place = next(i for i, m in enumerate(found[0]) if m.extension == "jpg")
    one, two = found[0][place], found[last][place]
    found[0][place], found[last][place] = Member(one.name, two.data), Member(two.name, one.data)
    rewrite(path, _flat(found), size=_size(path))


def _without(path: Path, extension: str) -> list[Member]:
    gone = middle(path, extension)
    return [m for m in members(path) if m.name != gone.name]


def member_missing(path: Path) -> None:
    rewrite(path, _without(path, "taxon.txt"))


def member_missing_size_kept(path: Path) -> None:
    rewrite(path, _without(path, "taxon.txt"), size=_size(path))


def jpg_missing_size_kept(path: Path) -> None:
    rewrite(path, _without(path, "jpg"), size=_size(path))


def member_extra(path: Path) -> None:
    found = samples(path)
    found[0].append(Member(f"{found[0][0].key}.zz.txt", b"what is this"))
    rewrite(path, _flat(found))


def member_twice(path: Path) -> None:
    found = samples(path)
    found[-1].append(found[-1][-1])
    rewrite(path, _flat(found))


# ------------------------------------------------------------------ samples


def sample_missing(path: Path) -> None:
    found = samples(path)
    del found[len(found) // 2]
    rewrite(path, _flat(found))


def sample_missing_size_kept(path: Path) -> None:
    found = samples(path)
    del found[len(found) // 2]
    rewrite(path, _flat(found), size=_size(path))


def sample_extra(path: Path) -> None:
    found = samples(path)
    key = str(uuid.uuid5(uuid.NAMESPACE_URL, "extra"))
    rewrite(path, _flat([*found, [Member(f"{key}.{m.extension}", m.data) for m in found[0]]]))


def sample_duplicated(path: Path) -> None:
    found = samples(path)
    rewrite(path, _flat([found[0], *found]))


def sample_in_place_of_another(path: Path) -> None:
    """Size kept: a sample stands twice, in place of a longer or equal one that is gone."""
    found = samples(path)
    by_size = sorted(range(len(found)), key=lambda i: sum(len(m.data) + -len(m.data) % BLOCK for m in found[i]))
    found[by_size[-1]] = found[by_size[0]]
    rewrite(path, _flat(found), size=_size(path))


def samples_in_another_order(path: Path) -> None:
    """Size kept."""
    found = samples(path)
    found[0], found[1] = found[1], found[0]
    rewrite(path, _flat(found))


def of_another_dataset(path: Path) -> None:
    """Size kept: the same kind of samples under other keys."""
    found = samples(path)
    for sample in found:
        key = str(uuid.uuid5(uuid.NAMESPACE_URL, sample[0].key))
        sample[:] = [Member(f"{key}.{m.extension}", m.data) for m in sample]
    rewrite(path, _flat(found))


def without_samples(path: Path) -> None:
    rewrite(path, [])


def without_samples_size_kept(path: Path) -> None:
    rewrite(path, [], size=_size(path))


# ------------------------------------------------------------------ the file itself


def garbage_behind_it(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"garbage")


def zeros_behind_it(path: Path) -> None:
    os.truncate(path, _size(path) + RECORD)


def replaced_by_text(path: Path) -> None:
    """Size kept: an error page in place of the file."""
    size = _size(path)
    path.write_bytes((b"<html>503 Service Unavailable</html>\n" * (size // 30))[:size])


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replaced_by_a_pipe(path: Path) -> None:
    """Whoever opens it to read waits for ever."""
    path.unlink()
    os.mkfifo(path)


def unreadable(path: Path) -> None:
    """For ordinary users; root reads what it likes."""
    path.chmod(0)


def gone(path: Path) -> None:
    path.unlink()


def link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


DAMAGES: dict[str, tuple[Callable[[Path], None], Level]] = {
    "cut in a header": (cut_in_a_header, "default"),
    "cut in a header, size kept": (_cut_and_filled(cut_in_a_header), "default"),
    "cut in a body": (cut_in_a_body, "default"),
    "cut in a body, size kept": (_cut_and_filled(cut_in_a_body), "default"),
    "cut in padding": (cut_in_padding, "default"),
    "cut in padding, size kept": (_cut_and_filled(cut_in_padding), "default"),
    "cut between samples": (cut_between_samples, "default"),
    "cut between samples, size kept": (_cut_and_filled(cut_between_samples), "default"),
    "cut before the end blocks": (cut_before_the_end_blocks, "default"),
    "cut in the end blocks": (cut_in_the_end_blocks, "default"),
    "cut in the record padding": (cut_in_the_record_padding, "default"),
    "0 bytes": (cut_to_nothing, "default"),
    "all zeros, size kept": (_cut_and_filled(cut_to_nothing), "default"),
    "body of a jpg zeroed": (body_of_the_last_jpg_zeroed, "deep"),
    "bit in the name of a header": (bit_in_the_name_of_a_header, "default"),
    "bit in the size of a header": (bit_in_the_size_of_a_header, "default"),
    "bit in the checksum of a header": (bit_in_the_checksum_of_a_header, "default"),
    "bit in the owner of a header": (bit_in_the_owner_of_a_header, "default"),
    "bit in a text": (bit_in_a_text, "deep"),
    "bit in a jpg": (bit_in_a_jpg, "deep"),
    "bit in the head of a jpg": (bit_in_the_head_of_a_jpg, "deep"),
    "bit in padding": (bit_in_padding, "default"),
    "bit in the end": (bit_in_the_end, "default"),
    "members of a sample swapped": (members_of_a_sample_swapped, "default"),
    "contents of two texts swapped": (contents_of_two_texts_swapped, "deep"),
    "jpgs of two samples swapped": (jpgs_of_two_samples_swapped, "deep"),
    "member missing": (member_missing, "default"),
    "member missing, size kept": (member_missing_size_kept, "default"),
    "jpg missing, size kept": (jpg_missing_size_kept, "default"),
    "member extra": (member_extra, "default"),
    "member twice": (member_twice, "default"),
    "sample missing": (sample_missing, "default"),
    "sample missing, size kept": (sample_missing_size_kept, "default"),
    "sample extra": (sample_extra, "default"),
    "sample duplicated": (sample_duplicated, "default"),
    "sample in place of another, size kept": (sample_in_place_of_another, "default"),
    "samples in another order": (samples_in_another_order, "default"),
    "shard of another dataset": (of_another_dataset, "default"),
    "no samples": (without_samples, "default"),
    "no samples, size kept": (without_samples_size_kept, "default"),
    "garbage behind it": (garbage_behind_it, "default"),
    "zeros behind it": (zeros_behind_it, "default"),
    "replaced by text": (replaced_by_text, "default"),
    "replaced by a folder": (replaced_by_a_folder, "default"),
    "replaced by a pipe": (replaced_by_a_pipe, "default"),
    "unreadable": (unreadable, "default"),
    "gone": (gone, "default"),
    "link to nowhere": (link_to_nowhere, "default"),
}
"""What was done → (the function, the lowest level of `verify` that promises to find it)."""

NEEDS_UNPRIVILEGED = frozenset({"unreadable"})
"""What only an ordinary user is hindered by."""
