"""Loads what a plan chooses from: the members of its splits, where they lie, and why some must stay out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from materialize.archive import MAX_MEMBER
from materialize.layout import Group, Images, Ints, label_digest
from materialize.order import reading_order
from tol_db.blacklist import blacklisted_images, blacklisted_labels
from tol_db.db.base import Outcome
from tol_db.db.bulk import query, scalar
from tol_db.db.engine import raw
from tol_db.errors import UsageError, did_you_mean
from tol_db.licences import admission

Mask = npt.NDArray[np.bool_]
NOT_LOCATED = -1
CHUNK = 20_000
_INT32 = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Split:
    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Candidates:
    """All images of the database as arrays, and which of them a plan may place.

    Attributes:
        images: every image; row i of each array is one image, in ascending order of id.
        groups: the containers in reading order.
        members: for each split of the plan, which rows are in it.
        outcome: per row, 0 or the :class:`Outcome` that keeps it out of every split.
        details: row → which blacklist entry keeps it out.
        random_access: per row, whether it can be read without reading what lies before it.
        label_digests: label id → digest, shape (labels + 1, 16), uint8; row 0 stands for no label.
        licences: where only some are admitted, per row the number of its licence (:class:`Admission`).
        licence_names: number → name.
    """

    images: Images
    groups: tuple[Group, ...]
    members: tuple[Mask, ...]
    outcome: npt.NDArray[np.uint8]
    details: dict[int, str] = field(repr=False)
    random_access: Mask = field(repr=False)
    label_digests: npt.NDArray[np.uint8] = field(repr=False)
    licences: Ints | None = field(repr=False, default=None)
    licence_names: dict[int, str] = field(repr=False, default_factory=dict)

    def detail_of(self, row: int) -> str | None:
        """What there is to say of the outcome of a row: which blacklist entry, which licence."""
        if self.licences is not None and self.outcome[row] == Outcome.LICENCE_FILTERED:
            return self.licence_names[int(self.licences[row])]
        return self.details.get(row)

    def rows_of(self, ids: Ints) -> Ints:
        """The rows of image ids (all of which must be there)."""
        return rows_of(self.images.id, ids)

    def digests_of(self, rows: Ints) -> npt.NDArray[np.uint8]:
        """The label digests of rows, shape (n, 16)."""
        return self.label_digests[self.images.label[rows]]


def rows_of(all_ids: Ints, ids: Ints) -> Ints:
    """Where ids stand among all ids, which are in order."""
    # of the same type: numpy would otherwise convert all ids for each search
    return np.searchsorted(all_ids, ids.astype(all_ids.dtype, copy=False))


def load_splits(conn: sa.Connection, names: Sequence[str]) -> tuple[Split, ...]:
    """The splits of these names, in this order.

    Raises:
        UsageError: one is not there, or is named twice.
    """
    known = {name: Split(id, name) for id, name in query(conn, "SELECT id, name FROM split ORDER BY name")}
    for name in names:
        if name not in known:
            there = ", ".join(known) if known else "none; `tol-db ingest tol10m` or `tol-db split` makes them"
            raise UsageError(f"no split {name!r}", hint=did_you_mean(name, known, f"splits: {there}"))
    if len(set(names)) != len(names):
        raise UsageError("a split is named twice", hint="name each --split once")
    return tuple(known[name] for name in names)


def load_blacklists(conn: sa.Connection, names: Sequence[str] | None) -> tuple[int, ...]:
    """Ids of the blacklists of these names, or of all (None).

    Raises:
        UsageError: one is not there.
    """
    known = dict(query(conn, "SELECT name, id FROM blacklist ORDER BY id"))
    for name in names or ():
        if name not in known:
            there = f"blacklists: {', '.join(known) or 'none'}"
            raise UsageError(f"no blacklist {name!r}", hint=did_you_mean(name, known, there))
    return tuple(known.values()) if names is None else tuple(dict.fromkeys(known[name] for name in names))


def load_candidates(
    conn: sa.Connection, splits: Sequence[Split], blacklists: Sequence[int], licences: Sequence[str] = ()
) -> Candidates:
    """Everything a plan needs, as arrays: about 40 bytes an image.

    Args:
        licences: words of the licences that are admitted; none: all.
    """
    ranks, groups, seekable = _containers(conn)
    images, random_access = _images(conn, ranks, seekable)
    members = tuple(_membership(conn, split, images.id) for split in splits)
    located = (images.member != NOT_LOCATED) & (images.container != NOT_LOCATED)
    numbers, names, refused = _licences(conn, licences, len(images)) if licences else (None, {}, None)
    outcome, details = _left_out(conn, images, located, blacklists, refused)
    digests = _label_digests(conn)
    return Candidates(images, groups, members, outcome, details, random_access, digests, numbers, names)


def _licences(conn: sa.Connection, words: Sequence[str], length: int) -> tuple[Ints, dict[int, str], Mask]:
    """Per image the number of its licence, the names of the numbers, and whether it is refused."""
    column = _Column(length)
    cursor = raw(conn).execute(
        """SELECT coalesce(x.licence_id, -i.source_id)
           FROM image i LEFT JOIN image_licence x ON x.image_id = i.id ORDER BY i.id"""
    )
    at = 0
    while rows := cursor.fetchmany(CHUNK):
        column.put(at, np.fromiter(chain.from_iterable(rows), np.int64, len(rows)))
        at += len(rows)
    known = admission(conn, words)
    return column.values, known.names, ~np.isin(column.values, sorted(known.admitted))


def _containers(conn: sa.Connection) -> tuple[Ints, tuple[Group, ...], Mask]:
    """Container id → rank, the groups, container id → whether it allows random access."""
    rows = list(
        query(
            conn,
            """SELECT c.id, c.kind, s.key, c.path, c.seek_index IS NOT NULL
               FROM container c JOIN source s ON s.id = c.source_id""",
        )
    )
    rows.sort(key=lambda row: reading_order(row[1], row[2], row[3]))
    highest = max((row[0] for row in rows), default=0)
    ranks = np.full(highest + 2, NOT_LOCATED, np.int32)  # the last one is what id -1 picks: no container
    seekable = np.zeros(highest + 2, bool)
    groups: list[Group] = []
    last_source = None
    for rank, (id, kind, source, _path, indexed) in enumerate(rows):
        ranks[id] = rank
        seekable[id] = kind != "tar_gz" or indexed
        if kind == "directory" and last_source == source:
            groups[-1] = Group(groups[-1].first, rank, whole=False)
        else:
            groups.append(Group(rank, rank, whole=kind != "directory"))
        last_source = source if kind == "directory" else None
    return ranks, tuple(groups), seekable


class _Column:
    """Numbers that come in pieces: 4 bytes each, 8 from the first one on that needs them."""

    def __init__(self, length: int) -> None:
        self.values: Ints = np.empty(length, np.int32)

    def put(self, at: int, piece: npt.NDArray[np.int64]) -> None:
        if self.values.dtype == np.int32 and int(piece.max()) > _INT32:
            self.values = self.values.astype(np.int64)
        self.values[at : at + len(piece)] = piece


def _images(conn: sa.Connection, ranks: Ints, seekable: Mask) -> tuple[Images, Mask]:
    """All images, and whether each can be read at random."""
    length = int(scalar(conn, "SELECT count(*) FROM image"))
    ids, container, member, size, label = columns = [_Column(length) for _ in range(5)]
    uuids, random_access = np.empty((length, 16), np.uint8), np.empty(length, bool)
    cursor = raw(conn).execute(
        """SELECT id, coalesce(container_id, -1), coalesce(member_index, -1), coalesce(bytes, 0),
                  coalesce(label_id, 0), treeoflife_id FROM image ORDER BY id"""
    )
    at = 0
    while rows := cursor.fetchmany(CHUNK):
        *numbers, blobs = zip(*rows, strict=True)
        pieces = [np.array(piece, np.int64) for piece in numbers]
        end = at + len(rows)
        random_access[at:end] = seekable[pieces[1]]
        pieces[1] = ranks[pieces[1]].astype(np.int64)
        for column, piece in zip(columns, pieces, strict=True):
            column.put(at, piece)
        uuids[at:end] = np.frombuffer(b"".join(blobs), np.uint8).reshape(-1, 16)
        at = end
    return Images(ids.values, container.values, member.values, size.values, label.values, uuids), random_access


def _label_digests(conn: sa.Connection) -> npt.NDArray[np.uint8]:
    """Label id → digest; row 0 stands for no label."""
    highest = raw(conn).execute("SELECT coalesce(max(id), 0) FROM label").fetchone()[0]
    digests = np.zeros((highest + 1, 16), np.uint8)
    sql = 'SELECT id, kingdom, phylum, class, "order", family, genus, species, common_name FROM label'
    for id, *texts in query(conn, sql):
        digests[id] = np.frombuffer(label_digest(texts), np.uint8)
    return digests


def _membership(conn: sa.Connection, split: Split, ids: Ints) -> Mask:
    mask = np.zeros(len(ids), bool)
    cursor = raw(conn).execute("SELECT image_id FROM split_member WHERE split_id = ?", (split.id,))
    while rows := cursor.fetchmany(CHUNK):
        mask[rows_of(ids, np.fromiter(chain.from_iterable(rows), np.int64, len(rows)))] = True
    return mask


def _left_out(
    conn: sa.Connection, images: Images, located: Mask, blacklists: Sequence[int], refused: Mask | None
) -> tuple[npt.NDArray[np.uint8], dict[int, str]]:
    """Why images stay out of every split; what was decided (blacklist, then licence) stands before what is so."""
    outcome = np.zeros(len(images), np.uint8)
    # the scan has seen its size; reading it would fail the unit, and with it all other images of the unit
    outcome[images.size > MAX_MEMBER] = Outcome.TOO_LARGE
    outcome[~located] = Outcome.SOURCE_MISSING
    outcome[images.label == 0] = Outcome.NO_LABEL
    details = {
        row: f"{int(images.size[row]):,} bytes; at most {MAX_MEMBER:,} of one member are read"
        for row in np.flatnonzero(outcome == Outcome.TOO_LARGE).tolist()
    }
    if refused is not None:
        outcome[refused] = Outcome.LICENCE_FILTERED
    entries: dict[int, str] = {}
    for hit in blacklisted_labels(conn, blacklists):
        entries.setdefault(hit.id, f"{hit.blacklist}: {hit.entry}")
    if entries:
        listed = np.zeros(max(max(entries), int(images.label.max(initial=0))) + 1, bool)
        listed[list(entries)] = True
        for row in np.flatnonzero(listed[images.label]).tolist():
            outcome[row] = Outcome.BLACKLISTED_TAXON
            details[row] = entries[int(images.label[row])]
    for hit in blacklisted_images(conn, blacklists):
        row = int(rows_of(images.id, np.array(hit.id)))
        outcome[row] = Outcome.BLACKLISTED_IMAGE
        details[row] = f"{hit.blacklist}: {hit.entry}"
    return outcome, details


def exclusions(
    candidates: Candidates, splits: Sequence[Split], members: Sequence[Mask]
) -> Iterator[tuple[int, int, int, str | None]]:
    """(split id, image id, outcome id, detail) of each member that stays out."""
    for split, member in zip(splits, members, strict=True):
        for row in np.flatnonzero(member & (candidates.outcome != 0)).tolist():
            yield (
                split.id,
                int(candidates.images.id[row]),
                int(candidates.outcome[row]),
                candidates.detail_of(row),
            )
