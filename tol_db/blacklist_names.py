"""The other names of blacklisted species: what ``v_blacklisted_label`` looks up beside the names as written.

A species stays out under every name that the latest assembled taxonomy has for it. These names are kept in the
tables ``blacklist_name`` and ``blacklist_taxon``, because the view is asked for each label of a plan;
:func:`refresh_blacklist_names` makes them anew when a list or a taxonomy changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from tol_db.db.bulk import changes, insert_many, query, scalar
from tol_db.taxonomy.kinds import NOT_FOR_MATCHING
from tol_db.taxonomy.lookup import DatabaseLookup, latest_assembled
from tol_db.taxonomy.name_forms import canonical, gender_variants
from tol_db.taxonomy.resolve import Match
from tol_db.taxonomy.seven_ranks import is_high, species_of

_AT_A_TIME: Final = 1_000

_ENTRIES: Final = """
SELECT id, coalesce(kingdom, ''), genus, species FROM blacklist_entry
WHERE kind = 'taxon' AND genus <> '' AND species <> '' AND id > ? ORDER BY id LIMIT ?"""

# the index on taxon.parent_id gives what lies below
_BELOW: Final = """
WITH RECURSIVE below (id) AS (
    SELECT ?1 UNION ALL SELECT t.id FROM below b JOIN taxon t ON t.parent_id = b.id
)
SELECT id FROM below"""

_NAMES: Final = f"""
SELECT scientific_name FROM taxon WHERE id = ?1
UNION
SELECT name FROM synonym WHERE taxon_id = ?1
  AND kind NOT IN ({", ".join(repr(kind) for kind in NOT_FOR_MATCHING)})"""  # noqa: S608

# one pass over the images, where a taxonomy labelled any
_GIVEN: Final = """
INSERT INTO blacklist_name (entry_id, genus, species, kingdom)
SELECT e.id, n.genus, n.species, n.kingdom
FROM (SELECT DISTINCT published_label_id, label_id FROM image WHERE published_label_id IS NOT NULL) AS i
JOIN label p ON p.id = i.published_label_id
JOIN label n ON n.id = i.label_id
JOIN blacklist_entry e ON e.genus = p.genus AND e.species = p.species
WHERE e.kind = 'taxon' AND n.species <> '' AND (n.genus, n.species) <> (p.genus, p.species)
  AND (coalesce(e.kingdom, '') = '' OR p.kingdom = '' OR e.kingdom = p.kingdom)
  AND NOT EXISTS (SELECT 1 FROM blacklist_taxon t WHERE t.entry_id = e.id)
ON CONFLICT DO NOTHING"""
"""What images of a listed species are labelled now, where the latest taxonomy does not know the entry: another one
labelled them, which may have been removed since."""


@dataclass(frozen=True, slots=True)
class _Entry:
    id: int
    kingdom: str
    genus: str
    species: str

    @property
    def name(self) -> str:
        return f"{self.genus} {self.species}"


def refresh_blacklist_names(conn: sa.Connection) -> int:
    """Look up the species of all blacklists in the latest assembled taxonomy anew.

    Args:
        conn: a write transaction.

    Returns:
        How many entries the taxonomy knows; 0 where there is none.
    """
    for table in ("blacklist_name", "blacklist_taxon"):
        changes(conn, f"DELETE FROM {table}")  # noqa: S608  two constants
    taxonomy = latest_assembled(conn)
    known = 0 if taxonomy is None else _look_up(conn, DatabaseLookup(conn, taxonomy))
    if scalar(conn, "SELECT EXISTS (SELECT 1 FROM label WHERE resolution = 'resolved')"):
        changes(conn, _GIVEN)
    return known


def _look_up(conn: sa.Connection, lookup: DatabaseLookup) -> int:
    last = known = 0
    while entries := [_Entry(*row) for row in query(conn, _ENTRIES, (last, _AT_A_TIME))]:
        last = entries[-1].id
        species = _species_of_entries(lookup, entries)
        known += len(species)
        _store(conn, lookup, entries, species)
    return known


def _species_of_entries(lookup: DatabaseLookup, entries: Sequence[_Entry]) -> dict[int, set[int]]:
    """Entry id → ids of the species that it means: whose accepted name it is, else those it is a synonym of."""
    found = lookup.find({entry.name for entry in entries})
    variants = {entry.name: _variants(entry.name) for entry in entries if entry.name not in found}
    others = lookup.find({name for names in variants.values() for name in names})
    species: dict[int, set[int]] = {}
    for entry in entries:
        matches = list(found.get(entry.name, ()))
        matches = matches or [match for name in variants.get(entry.name, ()) for match in others.get(name, ())]
        lookup.load(match.node.id for match in matches)
        fitting = [match for match in matches if _fits(lookup, entry, match)]
        accepted = [match for match in fitting if not match.is_synonym]
        if fitting:
            species[entry.id] = {_species(lookup, match.node.id) for match in accepted or fitting}
    return species


def _variants(name: str) -> tuple[str, ...]:
    parsed = canonical(name)
    return gender_variants(parsed) if parsed is not None else ()


def _fits(lookup: DatabaseLookup, entry: _Entry, match: Match) -> bool:
    """Whether a taxon may be the entry's: no genus or family, and no other kingdom."""
    place = lookup.place(match.node.id)
    if is_high(match.node.rank) or not place.ranks.species:
        return False
    return not (entry.kingdom and place.ranks.kingdom) or entry.kingdom == place.ranks.kingdom


def _species(lookup: DatabaseLookup, taxon: int) -> int:
    """The species that a taxon is or belongs to: labels do not tell subspecies."""
    species = species_of(lookup.place(taxon).lineage)
    return species.id if species is not None else taxon


def _store(
    conn: sa.Connection, lookup: DatabaseLookup, entries: Sequence[_Entry], species: Mapping[int, Collection[int]]
) -> None:
    taxa = {id: sorted(_below(conn, id)) for ids in species.values() for id in ids}
    names = {id: sorted(_binomials(conn, below)) for id, below in taxa.items()}
    accepted = _accepted_elsewhere(lookup, {name for some in names.values() for name in some})
    for entry in entries:
        its_taxa = {taxon for id in species.get(entry.id, ()) for taxon in taxa[id]}
        rows: dict[tuple[str, str], str] = {}
        for id in sorted(species.get(entry.id, ())):
            kingdom = entry.kingdom or lookup.place(id).ranks.kingdom
            for name in names[id]:
                # a name that another species has today means that one
                if name != entry.name and accepted.get(name, its_taxa) <= its_taxa:
                    genus, _, epithet = name.partition(" ")
                    rows.setdefault((genus, epithet), kingdom)
        insert_many(
            conn,
            "INSERT INTO blacklist_name VALUES (?, ?, ?, ?)",
            ((entry.id, genus, epithet, kingdom) for (genus, epithet), kingdom in rows.items()),
        )
        insert_many(conn, "INSERT INTO blacklist_taxon VALUES (?, ?)", ((entry.id, id) for id in sorted(its_taxa)))


def _below(conn: sa.Connection, taxon: int) -> Iterator[int]:
    return (id for (id,) in query(conn, _BELOW, (taxon,)))


def _binomials(conn: sa.Connection, taxa: Sequence[int]) -> set[str]:
    """Names of two words of taxa; one of three words belongs to the species of its first two, maybe another one."""
    names: set[str] = set()
    for taxon in taxa:
        for (name,) in query(conn, _NAMES, (taxon,)):
            parsed = canonical(name)
            if parsed is not None and parsed.species and not parsed.infraspecific:
                names.add(parsed.binomial)
    return names


def _accepted_elsewhere(lookup: DatabaseLookup, names: Collection[str]) -> dict[str, set[int]]:
    """Name → the taxa whose accepted name it is."""
    accepted: dict[str, set[int]] = {}
    for name, matches in lookup.find(names).items():
        ids = {match.node.id for match in matches if not match.is_synonym}
        if ids:
            accepted[name] = ids
    return accepted
