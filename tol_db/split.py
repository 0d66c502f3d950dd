"""Splits: who is in, by a policy that is stored and gives the same answer whenever it is asked.

A **hash** split takes an image when ``sha256("<seed>:<name>:<key>")``, its first 8 bytes read as a fraction
of 2^64, is below the split's fraction. The key is the image's TreeOfLife id (split by image), or its seven
ranks in lower case joined by tabs (split by taxon: all images of a lineage, whatever their common names, fall
on one side; an image without a label goes by its own id). The name is part of what is hashed, so that one
split says nothing about another. The order of images plays no part.

A **complement** takes what another split left.

Members are never removed. :func:`extend_policies` lets the policies judge images that have come since; those
that were there keep their side, also when their label changes or they get one later. So images should have
their labels before a split by taxon sees them.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

import sqlalchemy as sa

from tol_db.db.bulk import changes, query, scalar, utc_now
from tol_db.db.engine import Database, raw
from tol_db.errors import NameTaken, UsageError, did_you_mean

By = Literal["image", "taxon"]


@dataclass(frozen=True, slots=True)
class Policy:
    """A row of the table ``split``.

    Attributes:
        id: its key.
        name: also the folder of its shards.
        parent: id of the split whose members it is drawn from, or None for all images.
        complement_of: id of the split that it is disjoint from, or None.
        kind: ``published``, ``hash``, ``complement`` or ``file``.
        by: ``image`` or ``taxon``.
        seed, fraction: of a hash split.
    """

    id: int
    name: str
    parent: int | None
    complement_of: int | None
    kind: str
    by: str
    seed: int | None
    fraction: float | None


@dataclass(frozen=True, slots=True)
class SplitResult:
    """A split just made.

    Attributes:
        unchanged: never; for printing beside other results.
        name: of the split.
        members: images in it.
        drawn_from: images that it was drawn from.
        rule: the policy in words.
        remark: what the user may not expect, or "".
    """

    unchanged: bool
    name: str
    members: int
    drawn_from: int
    rule: str
    remark: str

    def describe(self) -> list[str]:
        """Lines to print."""
        share = f" ({100 * self.members / self.drawn_from:.2f} %)" if self.drawn_from else ""
        lines = [f"split {self.name}: {self.members:,} of {self.drawn_from:,} images{share}: {self.rule}"]
        return [*lines, f"  {self.remark}"] if self.remark else lines


@dataclass(frozen=True, slots=True)
class Extended:
    """Images that a stored policy took in.

    Attributes:
        split: its name.
        added: how many.
    """

    split: str
    added: int


def chooser(seed: int, name: str, fraction: float) -> Callable[[bytes | str], bool]:
    """The rule of a hash split as a function of the key (see the module).

    Args:
        seed, name, fraction: of the split.

    Returns:
        A pure function of a 16-byte id or of a lineage, seven ranks joined by tabs in any case.
    """
    prefix = f"{seed}:{name}:"
    limit = math.ceil(Fraction(fraction) * 2**64)
    if limit >= 2**64:
        return lambda _key: True
    # bytes compare as the numbers they spell; a digest that equals the limit is longer, hence not below it
    bound = limit.to_bytes(8, "big")
    sha256 = hashlib.sha256

    def is_chosen(key: bytes | str) -> bool:
        if isinstance(key, bytes):
            h = key.hex()  # as uuid_text, which costs five times as much
            key = f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
        else:
            key = key.lower()
        return sha256((prefix + key).encode()).digest() < bound

    return is_chosen


def require_name(name: str) -> str:
    """A split's name that can be a folder and stand in a hash: letters, digits, ``.``, ``_`` and ``-``.

    Raises:
        UsageError: another name, or longer than 100 characters.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name):
        raise UsageError(
            f"{name[:120]!r} cannot be the name of a split",
            hint="it becomes a folder: letters, digits, '.', '_' and '-', at most 100, not '.' or '-' first",
        )
    return name


_ROWS: Final = "SELECT id, name, parent_id, complement_of_id, policy, split_by, seed, fraction FROM split"


def policies(conn: sa.Connection) -> list[Policy]:
    """All splits, in the order in which they were made; so each stands after those that it is drawn from."""
    return [Policy(*row) for row in query(conn, _ROWS + " ORDER BY id")]


def find(conn: sa.Connection, name: str) -> Policy:
    """The split of that name.

    Raises:
        UsageError: there is none; the hint lists those that exist.
    """
    for row in query(conn, _ROWS + " WHERE name = ?", (name,)):
        return Policy(*row)
    names = [policy.name for policy in policies(conn)]
    there = f"splits that exist: {', '.join(names) or 'none yet'}"
    raise UsageError(f"no split {name!r}", hint=did_you_mean(name, names, there))


def require_free(conn: sa.Connection, name: str) -> None:
    """Raises: NameTaken."""
    if scalar(conn, "SELECT 1 FROM split WHERE name = ?", (name,)):
        raise NameTaken(f"there is a split {name!r} already", hint="a split is not made anew; choose another name")


def add(
    conn: sa.Connection,
    name: str,
    kind: str,
    *,
    parent: Policy | None = None,
    complement_of: Policy | None = None,
    by: str = "image",
    seed: int | None = None,
    fraction: float | None = None,
) -> Policy:
    """Store a new split without members."""
    up, other = parent and parent.id, complement_of and complement_of.id
    changes(
        conn,
        """INSERT INTO split (name, parent_id, complement_of_id, policy, split_by, seed, fraction, created_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        (name, up, other, kind, by, seed, fraction, utc_now()),
    )
    return find(conn, name)


def make_split(
    db: Database,
    name: str,
    *,
    fraction: float | None = None,
    complement_of: str | None = None,
    within: str | None = None,
    seed: int = 17,
    by: By = "image",
) -> SplitResult:
    """Make a split by a policy and fill it; images that come later are judged by :func:`extend_policies`.

    Args:
        db: the database.
        name: of the new split.
        fraction: the share that a hash split takes, above 0 and at most 1.
        complement_of: instead of a fraction, the split whose rest this one takes.
        within: the split to draw from; None for all images.
        seed: of a hash split.
        by: whether single images or whole lineages are drawn.

    Raises:
        NameTaken: there is a split of that name.
        UsageError: not exactly one of fraction and complement_of; a fraction or seed out of range; a name
            that cannot be a folder; no such split to draw from or to complement.
    """
    require_name(name)
    if (fraction is None) == (complement_of is None):
        raise UsageError("a split takes a fraction or the rest of another split: say one of the two")
    if fraction is not None and not 0 < fraction <= 1:
        raise UsageError(f"a fraction of {fraction}", hint="above 0 and at most 1, for example 0.05")
    if not -(2**63) <= seed < 2**63:
        raise UsageError(f"a seed of {seed}", hint="a number of at most 64 bits")
    with db.write() as conn:
        require_free(conn, name)
        parent = find(conn, within) if within is not None else None
        base = find(conn, complement_of) if complement_of is not None else None
        if base is not None:
            policy = add(conn, name, "complement", parent=parent, complement_of=base, by=base.by)
        else:
            policy = add(conn, name, "hash", parent=parent, by=by, seed=seed, fraction=fraction)
        members = _extend(conn, policy, after=0)
        drawn_from = (
            scalar(conn, "SELECT count(*) FROM image")
            if parent is None
            else scalar(conn, "SELECT count(*) FROM split_member WHERE split_id = ?", (parent.id,))
        )
        remark = _remark(conn, policy, base)
        return SplitResult(False, name, members, drawn_from, _rule(policy, base), remark)


def _rule(policy: Policy, base: Policy | None) -> str:
    if base is not None:
        return f"what {base.name} left"
    return f"fraction {policy.fraction} by {policy.by}, seed {policy.seed}"


def _remark(conn: sa.Connection, policy: Policy, base: Policy | None) -> str:
    if base is not None and base.parent is not None and policy.parent is None:
        return f"{base.name} was drawn within another split, this one from all images (see --within)"
    if policy.kind == "hash" and policy.by == "taxon":
        unlabelled = scalar(conn, "SELECT count(*) FROM image WHERE label_id IS NULL")
        return f"{unlabelled:,} images have no label and went by their own id" if unlabelled else ""
    return ""


# ------------------------------------------------------------------ who is in

# Who may join at all: images above ?2, of the parent ?3 if there is one, that are neither in the split ?1 nor
# in one that is disjoint from it. The primary key of split_member serves each look (CROSS JOIN: SQLite would
# scan all members instead).
_MAY_JOIN: Final = """
INSERT INTO split_member (split_id, image_id)
SELECT ?1, i.id FROM image i
WHERE i.id > ?2
  AND (?3 IS NULL OR EXISTS (SELECT 1 FROM split_member p WHERE p.split_id = ?3 AND p.image_id = i.id))
  AND NOT EXISTS (SELECT 1 FROM split_member m WHERE m.split_id = ?1 AND m.image_id = i.id)
  AND NOT EXISTS (SELECT 1 FROM split c CROSS JOIN split_member m ON m.split_id = c.id AND m.image_id = i.id
                  WHERE c.complement_of_id = ?1)
"""

_BY_IMAGE: Final = _MAY_JOIN + "AND is_chosen(i.treeoflife_id)"

_BY_TAXON: Final = f"""{_MAY_JOIN}
AND CASE WHEN i.label_id IS NULL THEN is_chosen(i.treeoflife_id)
         ELSE EXISTS (SELECT 1 FROM temp.chosen_label c WHERE c.label_id = i.label_id) END"""  # noqa: S608  two constants

_CHOSEN_LABELS: Final = """
INSERT INTO temp.chosen_label
SELECT id FROM label
WHERE is_chosen(kingdom || char(9) || phylum || char(9) || class || char(9) || "order" || char(9) || family
                || char(9) || genus || char(9) || species)"""

_THE_REST: Final = f"""{_MAY_JOIN}
AND NOT EXISTS (SELECT 1 FROM split_member o WHERE o.split_id = ?4 AND o.image_id = i.id)"""  # noqa: S608  two constants

# A complement of the same parent holds all that was judged and not taken.
_JUDGED: Final = """
SELECT max(coalesce((SELECT max(image_id) FROM split_member m WHERE m.split_id = s.id), 0))
FROM split s
WHERE s.id = ?1
   OR (s.complement_of_id = ?1 AND s.policy = 'complement'
       AND s.parent_id IS (SELECT parent_id FROM split WHERE id = ?1))"""


def extend_policies(conn: sa.Connection) -> list[Extended]:
    """Let every hash and complement split take in the images that have come since it was last extended.

    Published splits and those of files are what they are. Call it after new images have their labels and
    their published splits.

    Args:
        conn: a write transaction.

    Returns:
        The splits that took any, in the order in which they were made.
    """
    stored = policies(conn)
    by_id = {policy.id: policy for policy in stored}
    grown = []
    for policy in stored:
        if policy.kind in ("hash", "complement"):
            added = _extend(conn, policy, after=_judged_up_to(conn, policy, by_id))
            if added:
                grown.append(Extended(policy.name, added))
    return grown


def _judged_up_to(conn: sa.Connection, policy: Policy, by_id: dict[int, Policy]) -> int:
    """An image id up to which the policy has judged all: ids only grow.

    It is 0 where the split is drawn, however far up, from one that older images may join (a file's, the
    published ones).
    """
    up = policy.parent
    while up is not None:
        if by_id[up].kind not in ("hash", "complement"):
            return 0
        up = by_id[up].parent
    judged: int = scalar(conn, _JUDGED, (policy.id,))
    return judged


def _extend(conn: sa.Connection, policy: Policy, *, after: int) -> int:
    """Add the images above an id that the policy takes; returns how many."""
    where = (policy.id, after, policy.parent)
    if policy.seed is None or policy.fraction is None:
        return changes(conn, _THE_REST, (*where, policy.complement_of))
    driver = raw(conn)
    rule = chooser(policy.seed, policy.name, policy.fraction)
    # a function of Python called by SQLite: 0.4 µs an image; the whole statement takes 1 s for a million
    driver.create_function("is_chosen", 1, rule, deterministic=True)
    if policy.by == "image":
        return changes(conn, _BY_IMAGE, where)
    driver.execute("CREATE TEMP TABLE IF NOT EXISTS chosen_label (label_id INTEGER PRIMARY KEY)")
    driver.execute("DELETE FROM temp.chosen_label")
    changes(conn, _CHOSEN_LABELS)
    return changes(conn, _BY_TAXON, where)
