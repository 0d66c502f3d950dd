"""Everything that is known of one image."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import query, scalar, uuid_text
from tol_db.db.engine import Database
from tol_db.errors import UsageError
from tol_db.report.tables import indented, named_values
from tol_db.taxonomy.names import Lineage, common, tagged

MOST = 20
"""Images that one key may mean before the rest is left out."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where the bytes of an image lie.

    Attributes:
        root: of its source; container: relative to it; kind, state: of the container.
        member: its name there; member_index: its place, None where no scan found it.
        data_offset: in the uncompressed archive, None in folders; bytes: of the member.
    """

    root: str | None
    container: str
    kind: str
    state: str
    member: str
    member_index: int | None
    data_offset: int | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Label:
    """A label as shown.

    Attributes:
        ranks: seven names, kingdom first, "" where there is none.
        common_name: as captions show it; given: as the source gives it, "" where it gives none.
        resolution: how the label came.
        key: of the source's lookup that gave it; file: that the lookup was read from.
    """

    ranks: tuple[str, ...]
    common_name: str
    given: str
    resolution: str
    key: str | None
    file: str | None


@dataclass(frozen=True, slots=True)
class Licence:
    name: str
    link: str
    copyright_owner: str
    title: str
    medium_source_url: str
    eol_full_size_copy_url: str
    md5: str | None


@dataclass(frozen=True, slots=True)
class BlacklistHit:
    """An entry of a blacklist that means the image (``image``) or its species (``taxon``)."""

    blacklist: str
    kind: str
    entry: str


@dataclass(frozen=True, slots=True)
class Place:
    """What became of the image in a split of a dataset.

    Attributes:
        what: ``placed`` in a shard, ``excluded`` by the plan, or ``unplanned``: it came after the plan.
        file, position, shard_state: of the shard.
        outcome, detail: of the image there, or why it is excluded.
        label: the one pinned by the plan.
        relabelled: it has another one today.
        width, height, mode: of the original, once read; the digests are the first 16 bytes of a sha256, hex.
    """

    dataset: str
    split: str
    what: str
    file: str | None = None
    position: int | None = None
    shard_state: str | None = None
    outcome: str | None = None
    detail: str | None = None
    label: str | None = None
    relabelled: bool = False
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    content_digest: str | None = None
    jpg_digest: str | None = None


@dataclass(frozen=True, slots=True)
class ImageReport:
    """An image; ``published_label`` is the one that it had before ``label``, where they differ."""

    treeoflife_id: str
    source: str
    eol_content_id: int | None
    eol_page_id: int | None
    location: Location | None
    label: Label | None
    published_label: Label | None
    licence: Licence | None
    splits: tuple[str, ...]
    blacklists: tuple[BlacklistHit, ...]
    places: tuple[Place, ...]


def look_up(db: Database, key: str) -> list[ImageReport]:
    """The images that a key means: one, or several with the same file name.

    Args:
        db: the database.
        key: a TreeOfLife id, EOL's ``CONTENT_PAGE`` or a name that begins so, or the name of a file.

    Raises:
        UsageError: no image is called so; the hint says so when a file of that name is a stray.
    """
    with db.read() as conn:
        found = _ids(conn, key.strip())
        if not found:
            raise UsageError(f"no image {key!r}", hint=_why_not(conn, key.strip()))
        return [_report(conn, id) for id in found]


def _ids(conn: sa.Connection, key: str) -> list[int]:
    name = key.rsplit("/", 1)[-1]
    stem = name.split(".", 1)[0]
    try:
        blob = uuid.UUID(stem).bytes
    except ValueError:
        blob = b""
    by_id = scalar(conn, "SELECT id FROM image WHERE treeoflife_id = ?", (blob,))
    if by_id is not None:
        return [by_id]
    eol = re.match(r"(\d{1,18})_(\d{1,18})(?=[_.]|$)", name)
    if eol:
        # the content id names the picture; pages are merged and split at EOL
        sql = "SELECT image_id FROM eol_image WHERE content_id = ? ORDER BY page_id <> ?, image_id LIMIT ?"
        found = [row[0] for row in query(conn, sql, (int(eol[1]), int(eol[2]), MOST))]
        if found:
            return found
    # no index on the name of a member: one pass over all images
    sql = "SELECT id FROM image WHERE member IN (?, ?) ORDER BY id LIMIT ?"
    return [row[0] for row in query(conn, sql, (key, name, MOST))]


def _why_not(conn: sa.Connection, key: str) -> str:
    sql = """SELECT c.path, t.reason FROM stray_member t JOIN container c ON c.id = t.container_id
             WHERE t.member IN (?, ?) LIMIT 1"""
    for container, reason in query(conn, sql, (key, key.rsplit("/", 1)[-1])):
        return f"{container} holds such a file, but no image claims it: {reason}"
    return "give a TreeOfLife id, EOL's CONTENT_PAGE, or the name of an image file"


_IMAGE: Final = """
SELECT i.treeoflife_id, s.id, s.key, i.label_id, i.published_label_id, e.content_id, e.page_id, c.group_number,
       i.member, c.id IS NOT NULL, s.root, c.path, c.kind, c.state, i.member_index, i.data_offset, i.bytes
FROM image i JOIN source s ON s.id = i.source_id
LEFT JOIN container c ON c.id = i.container_id
LEFT JOIN eol_image e ON e.image_id = i.id
WHERE i.id = ?"""


def _report(conn: sa.Connection, image: int) -> ImageReport:
    found = next(query(conn, _IMAGE, (image,)))
    blob, source_id, source, label, published, content, page, group, member, contained, *rest = found
    text = uuid_text(blob)
    location = None
    if contained:
        root, container, kind, state, index, offset, size = rest
        location = Location(root, container, kind, state, member or f"{text}.jpg", index, offset, size)
    file = (member or "").rsplit("/", 1)[-1]
    keys = {"eol": [str(page)], "inat21": [str(group)]}.get(source, [text, f"part{group}/{file}", file])
    return ImageReport(
        treeoflife_id=text,
        source=source,
        eol_content_id=content,
        eol_page_id=page,
        location=location,
        label=_label(conn, label, source_id, keys),
        published_label=_label(conn, published, source_id, []),
        licence=_licence(conn, image),
        splits=tuple(row[0] for row in query(conn, _SPLITS, (image,))),
        blacklists=tuple(BlacklistHit(*row) for row in query(conn, _HITS, (image, blob, label))),
        places=tuple(_places(conn, image, label)),
    )


_SPLITS: Final = """
SELECT s.name FROM split s CROSS JOIN split_member m ON m.split_id = s.id AND m.image_id = ? ORDER BY s.name"""

# the views turned round: from this image to the entries, not from all entries to their images
_HITS: Final = """
SELECT b.name, e.kind, e.value FROM blacklist_entry e JOIN blacklist b ON b.id = e.blacklist_id
WHERE e.kind = 'image' AND (e.content_id = (SELECT content_id FROM eol_image WHERE image_id = ?1)
                            OR e.treeoflife_id = ?2)
UNION ALL
SELECT b.name, e.kind, e.value
FROM v_blacklisted_label v JOIN blacklist_entry e ON e.id = v.entry_id JOIN blacklist b ON b.id = e.blacklist_id
WHERE v.label_id = ?3
ORDER BY 1, 2, 3"""

_LABEL: Final = """
SELECT kingdom, phylum, class, "order", family, genus, species, common_name, resolution FROM label WHERE id = ?"""

_KEY: Final = """
SELECT k.key, f.root || '/' || f.path FROM label_key k LEFT JOIN source_file f ON f.id = k.source_file_id
WHERE k.source_id = ? AND k.key = ? AND k.label_id = ?"""


def _label(conn: sa.Connection, id: int | None, source: int, keys: list[str]) -> Label | None:
    if id is None:
        return None
    *ranks, given, resolution = next(query(conn, _LABEL, (id,)))
    found: tuple[str | None, str | None] = (None, None)
    for key in keys:
        row = next(query(conn, _KEY, (source, key, id)), None)
        if row is not None:
            found = (row[0], row[1])
            break
    return Label(tuple(ranks), common(Lineage.of(ranks), given), given, resolution, *found)


def _licence(conn: sa.Connection, image: int) -> Licence | None:
    sql = """SELECT l.name, l.link, x.copyright_owner, x.title, x.medium_source_url, x.eol_full_size_copy_url,
                    lower(hex(x.md5)) FROM image_licence x JOIN licence l ON l.id = x.licence_id
             WHERE x.image_id = ?"""
    for name, link, owner, title, medium, full, md5 in query(conn, sql, (image,)):
        return Licence(name, link, owner, title, medium, full, md5 or None)
    return None


_PLACED: Final = """
SELECT printf('shard-%06d.tar', h.ordinal), m.position, h.state, o.name, m.detail, m.label_id, m.width, m.height,
       m.mode, lower(hex(m.content_digest)), lower(hex(m.jpg_digest))
FROM shard_image m CROSS JOIN shard h ON h.id = m.shard_id JOIN outcome o ON o.id = m.outcome_id
WHERE m.image_id = ? AND h.dataset_id = ? AND h.split_id = ?"""

_EXCLUDED: Final = """
SELECT o.name, x.detail FROM exclusion x JOIN outcome o ON o.id = x.outcome_id
WHERE x.dataset_id = ? AND x.split_id = ? AND x.image_id = ?"""


def _places(conn: sa.Connection, image: int, label: int | None) -> Iterator[Place]:
    sql = """SELECT d.id, d.name, s.id, s.name FROM dataset_split t
             JOIN dataset d ON d.id = t.dataset_id JOIN split s ON s.id = t.split_id ORDER BY d.name, s.name"""
    for dataset_id, dataset, split_id, split in list(query(conn, sql)):
        known = False
        for place in _placed(conn, (image, dataset_id, split_id), Place(dataset, split, "placed"), label):
            known = True
            yield place
        for outcome, detail in query(conn, _EXCLUDED, (dataset_id, split_id, image)):
            known = True
            yield Place(dataset, split, "excluded", outcome=outcome, detail=detail)
        member = "SELECT EXISTS (SELECT 1 FROM split_member WHERE split_id = ? AND image_id = ?)"
        if not known and scalar(conn, member, (split_id, image)):
            yield Place(dataset, split, "unplanned")


def _placed(conn: sa.Connection, where: tuple[int, int, int], place: Place, label: int | None) -> Iterator[Place]:
    """``place``, filled in from each row of ``where`` (image, dataset, split); there is one at most."""
    for file, position, state, outcome, detail, pinned, width, height, mode, content, jpg in query(
        conn, _PLACED, where
    ):
        yield replace(
            place,
            file=file,
            position=position,
            shard_state=state,
            outcome=outcome,
            detail=detail,
            label=tagged(Lineage.of(next(query(conn, _LABEL, (pinned,)))[:7])),
            relabelled=pinned != label,
            width=width,
            height=height,
            mode=mode,
            content_digest=content or None,
            jpg_digest=jpg or None,
        )


# ------------------------------------------------------------------ as text


def image_text(report: ImageReport, width: int | None = None) -> str:
    """Everything, a name and a value a line, within ``width`` characters where a terminal sets it."""
    where, licence = report.location, report.licence
    pairs: list[tuple[str, object]] = [("source", report.source)]
    if report.eol_content_id is not None:
        pairs.append(("eol", f"content {report.eol_content_id}, page {report.eol_page_id}"))
    pairs.append(("lies in", "no container" if where is None else _where(where)))
    pairs.append(("label", "none" if report.label is None else _label_text(report.label)))
    if report.published_label is not None:
        pairs.append(("published label", _label_text(report.published_label)))
    if licence is not None:
        owner = f", {licence.copyright_owner}" if licence.copyright_owner else ""
        pairs.append(("licence", f"{licence.name}{f' ({licence.link})' if licence.link else ''}{owner}"))
    pairs.append(("splits", ", ".join(report.splits) or "none"))
    pairs += [(f"blacklist {hit.blacklist}", f"names the {hit.kind}: {hit.entry}") for hit in report.blacklists]
    pairs += [(f"{place.dataset}/{place.split}", _place_text(place)) for place in report.places]
    return f"image {report.treeoflife_id}\n{indented(named_values(pairs, None if width is None else width - 2))}"


def _where(where: Location) -> str:
    root = f"{where.root}/" if where.root else ""
    if where.member_index is None:
        return f"{root}{where.container} ({where.state}), where {where.member} was not found"
    offset = f", data at {where.data_offset}" if where.data_offset is not None else ""
    return f"{root}{where.container}: {where.member}, entry {where.member_index}{offset}, {where.bytes} bytes"


def _label_text(label: Label) -> str:
    file = f" of {label.file}" if label.file else ""
    key = f", key {label.key}{file}" if label.key else ""
    return f"{tagged(Lineage.of(label.ranks))}; common name {label.common_name} ({label.resolution}{key})"


def _place_text(place: Place) -> str:
    detail = f" ({place.detail})" if place.detail else ""
    if place.what == "excluded":
        return f"left out by the plan: {place.outcome}{detail}"
    if place.what == "unplanned":
        return "came after the plan: `tol-db plan --extend` takes it in"
    size = f", {place.width}x{place.height} {place.mode}" if place.width else ""
    digests = "".join(
        f", {name} {value}"
        for name, value in (("content", place.content_digest), ("jpg", place.jpg_digest))
        if value
    )
    stale = f"; planned as {place.label}, which is not its label today" if place.relabelled else ""
    at = f"{place.file} ({place.shard_state}) at position {place.position}"
    return f"{at}: {place.outcome}{detail}{size}{digests}{stale}"
