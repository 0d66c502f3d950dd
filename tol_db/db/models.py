"""The tables. Alembic is the only way they change; ``docs/schema.md`` tells how they hang together.

Three choices carry ten million images:

* ``shard_image`` is clustered on (shard, position), so that completing a shard touches neighbouring pages
  (3 ms for 10,000 images; 150 ms when the rows lie scattered). What is learnt of an image while it is
  written (size, mode, digests) stands there for the same reason; the view ``v_image_content`` gathers it.
* An id is 16 bytes, not 36 characters. The views (``v_image``, ``v_sample``, …) show text.
* ``image.member`` is NULL where the member is named ``<treeoflife_id>.jpg``, as in the EOL archives.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tol_db.db.base import Base, Digest16, Key, Sha256, ShardState, Timestamp, Uuid, one_of

__all__ = ["Base"]


def _fk(target: str, **options: object) -> Mapped[int]:
    return mapped_column(ForeignKey(target), **options)  # type: ignore[arg-type]


# ------------------------------------------------------------------ where things come from


class Source(Base):
    """A provider of images or names."""

    __tablename__ = "source"
    id: Mapped[Key]
    key: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    root: Mapped[str | None] = mapped_column(Text, comment="absolute path that container paths start from")
    release: Mapped[str | None]
    url: Mapped[str | None]
    licence: Mapped[str | None]
    citation: Mapped[str | None]
    retrieved_at: Mapped[Timestamp | None]


class SourceFile(Base):
    """A file that was read: which bytes, when, with what result."""

    __tablename__ = "source_file"
    id: Mapped[Key]
    source_id: Mapped[int | None] = mapped_column(ForeignKey("source.id"))
    kind: Mapped[str]
    root: Mapped[str]
    path: Mapped[str] = mapped_column(Text, comment="relative to root")
    size: Mapped[int] = mapped_column("bytes")
    mtime_ns: Mapped[int]
    sha256: Mapped[Sha256]
    rows_read: Mapped[int]
    read_at: Mapped[Timestamp]
    outcome: Mapped[str]
    detail: Mapped[str | None]
    __table_args__ = (
        UniqueConstraint("kind", "root", "path"),
        CheckConstraint("typeof(sha256) = 'blob' AND length(sha256) = 32", name="sha256"),
    )


class Container(Base):
    """Where image bytes lie: an archive or a folder. Paths are relative to the root of the source."""

    __tablename__ = "container"
    id: Mapped[Key]
    source_id: Mapped[int] = _fk("source.id")
    kind: Mapped[str]
    path: Mapped[str]
    group_number: Mapped[int | None] = mapped_column(comment="iNat21 class number, BIOSCAN part number")
    group_name: Mapped[str | None] = mapped_column(comment="iNat21 class name")
    state: Mapped[str]
    detail: Mapped[str | None]
    members: Mapped[int | None]
    size: Mapped[int | None] = mapped_column("bytes")
    mtime_ns: Mapped[int | None]
    digest: Mapped[Sha256 | None] = mapped_column(comment="sha256 of the archive, or of a folder's listing")
    scanned_at: Mapped[Timestamp | None]
    seek_index: Mapped[bytes | None] = mapped_column(LargeBinary)
    __table_args__ = (
        UniqueConstraint("source_id", "path"),
        CheckConstraint(one_of("kind", ("tar_gz", "tar", "directory")), name="kind"),
        CheckConstraint(one_of("state", ("expected", "scanned", "damaged", "missing")), name="state"),
        CheckConstraint("state <> 'scanned' OR scanned_at IS NOT NULL", name="scanned"),
    )


class StrayMember(Base):
    """A member on disk that no image row claims, and why."""

    __tablename__ = "stray_member"
    container_id: Mapped[int] = mapped_column(ForeignKey("container.id", ondelete="CASCADE"), primary_key=True)
    member_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    member: Mapped[str]
    size: Mapped[int | None] = mapped_column("bytes")
    reason: Mapped[str]
    __table_args__ = ({"sqlite_with_rowid": False},)


# ------------------------------------------------------------------ names


class Taxonomy(Base):
    """A source taxonomy as it was published, or an assembled one. A new import is a new version."""

    __tablename__ = "taxonomy"
    id: Mapped[Key]
    name: Mapped[str] = mapped_column(comment="of a source its id space: ncbi, gbif, …")
    version: Mapped[str]
    kind: Mapped[str]
    priority: Mapped[int | None] = mapped_column(comment="1 is heard first; NULL: not assembled unless named")
    parameters: Mapped[str] = mapped_column(server_default="{}", comment="JSON")
    digest: Mapped[Sha256 | None]
    source_file_id: Mapped[int | None] = mapped_column(ForeignKey("source_file.id"))
    created_at: Mapped[Timestamp]
    __table_args__ = (
        UniqueConstraint("name", "version"),
        CheckConstraint(one_of("kind", ("source", "assembled")), name="kind"),
    )


class TaxonomyInput(Base):
    """What an assembled taxonomy was made of, in order of priority."""

    __tablename__ = "taxonomy_input"
    taxonomy_id: Mapped[int] = mapped_column(ForeignKey("taxonomy.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    role: Mapped[str]
    input_id: Mapped[int] = mapped_column(ForeignKey("taxonomy.id"), index=True)
    __table_args__ = (
        CheckConstraint(one_of("role", ("separation", "source", "previous")), name="role"),
        {"sqlite_with_rowid": False},
    )


class Taxon(Base):
    """A node of a taxonomy. Ids of one taxonomy are contiguous.

    Unique by an index, not by a constraint: indexes of a table of millions are built when it is full.
    """

    __tablename__ = "taxon"
    id: Mapped[Key]
    taxonomy_id: Mapped[int] = _fk("taxonomy.id")
    source_key: Mapped[str] = mapped_column(comment="the source's own id, without its id space")
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("taxon.id"), index=True)
    scientific_name: Mapped[str] = mapped_column(index=True)
    rank: Mapped[str]
    flags: Mapped[str] = mapped_column(server_default=text("''"), comment="comma-separated, sorted")
    __table_args__ = (Index("ix_taxon_taxonomy_id_source_key", "taxonomy_id", "source_key", unique=True),)


class TaxonAlias(Base):
    """An id that a taxonomy used before, or lists beside another: NCBI's merged ids, forwards of an assembly."""

    __tablename__ = "taxon_alias"
    taxonomy_id: Mapped[int] = mapped_column(ForeignKey("taxonomy.id", ondelete="CASCADE"), primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    source_key: Mapped[str] = mapped_column(comment="the id that stands for it now")
    __table_args__ = ({"sqlite_with_rowid": False},)


class TaxonSourceId(Base):
    """What a source says of where its taxon comes from: qualified ids such as ``ncbi:4209``, in its order."""

    __tablename__ = "taxon_source_id"
    taxon_id: Mapped[int] = mapped_column(ForeignKey("taxon.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    source_id: Mapped[str]
    __table_args__ = ({"sqlite_with_rowid": False},)


class TaxonProvenance(Base):
    """Which source taxa an assembled taxon stands for, in order of priority, and how each came to it."""

    __tablename__ = "taxon_provenance"
    taxon_id: Mapped[int] = mapped_column(ForeignKey("taxon.id", ondelete="CASCADE"), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    source_taxon_id: Mapped[int] = mapped_column(ForeignKey("taxon.id"), index=True)
    how: Mapped[str] = mapped_column(comment="copied, inserted, folded, or the heuristic that aligned it")
    __table_args__ = ({"sqlite_with_rowid": False},)


class TaxonDecision(Base):
    """What an assembly decided on a source taxon, beyond copying it or aligning its only candidate."""

    __tablename__ = "taxon_decision"
    taxonomy_id: Mapped[int] = mapped_column(ForeignKey("taxonomy.id", ondelete="CASCADE"), primary_key=True)
    source_taxon_id: Mapped[int] = mapped_column(ForeignKey("taxon.id"), primary_key=True, index=True)
    outcome: Mapped[str]
    heuristic: Mapped[str | None] = mapped_column(comment="what decided among candidates, or refused them")
    candidates: Mapped[str] = mapped_column(server_default=text("''"), comment="ids such as ncbi:9,ncbi:12")
    taxon_id: Mapped[int | None] = mapped_column(
        ForeignKey("taxon.id", ondelete="CASCADE"),
        index=True,
        comment="of the result: itself, or where its members went",
    )
    detail: Mapped[str | None]
    __table_args__ = ({"sqlite_with_rowid": False},)


class TaxonomyFinding(Base):
    """Something to know of a taxonomy: a row that was not read, a curation that met nothing, a retired id."""

    __tablename__ = "taxonomy_finding"
    id: Mapped[Key]
    taxonomy_id: Mapped[int] = mapped_column(ForeignKey("taxonomy.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    subject: Mapped[str] = mapped_column(comment="an id, a name, or file and line")
    detail: Mapped[str | None]


class Synonym(Base):
    """Another scientific name of a taxon."""

    __tablename__ = "synonym"
    id: Mapped[Key]
    taxon_id: Mapped[int] = mapped_column(ForeignKey("taxon.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    source: Mapped[str | None] = mapped_column(comment="who says so: an id such as gbif:414")
    __table_args__ = (Index("ix_synonym_taxon_id_name_kind", "taxon_id", "name", "kind", unique=True),)


class VernacularName(Base):
    """A common name of a taxon."""

    __tablename__ = "vernacular_name"
    id: Mapped[Key]
    taxon_id: Mapped[int] = mapped_column(ForeignKey("taxon.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    language: Mapped[str] = mapped_column(comment="ISO 639 code, '' where the source does not say")
    preferred: Mapped[bool] = mapped_column(server_default="0")
    source: Mapped[str | None]
    __table_args__ = (
        UniqueConstraint("taxon_id", "name", "language"),
        CheckConstraint("preferred IN (0, 1)", name="preferred"),
    )


class Label(Base):
    """A distinct 7-rank tuple and common name, as shown. Immutable: a new text is a new row."""

    __tablename__ = "label"
    id: Mapped[Key]
    kingdom: Mapped[str]
    phylum: Mapped[str]
    class_: Mapped[str] = mapped_column("class")
    order: Mapped[str]
    family: Mapped[str]
    genus: Mapped[str]
    species: Mapped[str]
    common_name: Mapped[str] = mapped_column(comment="as the source gives it; '' where it gives none")
    resolution: Mapped[str] = mapped_column(comment="how the label came: published, folder_name, …")
    taxon_id: Mapped[int | None] = mapped_column(ForeignKey("taxon.id"), index=True)
    __table_args__ = (
        UniqueConstraint(
            *(
                "kingdom",
                "phylum",
                "class",
                "order",
                "family",
                "genus",
                "species",
                "common_name",
                "resolution",
            ),
            name="uq_label_text",
        ),
        Index("ix_label_genus_species", "genus", "species"),
    )


class LabelKey(Base):
    """What a source's lookup says: EOL page id, iNat21 class number or BIOSCAN id → label (NULL: no name)."""

    __tablename__ = "label_key"
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    label_id: Mapped[int | None] = mapped_column(ForeignKey("label.id"))
    source_file_id: Mapped[int | None] = mapped_column(ForeignKey("source_file.id"))
    __table_args__ = ({"sqlite_with_rowid": False},)


class LabelResolution(Base):
    """What a taxonomy makes of a published label: a taxon and a new label, or why there is none."""

    __tablename__ = "label_resolution"
    taxonomy_id: Mapped[int] = mapped_column(ForeignKey("taxonomy.id", ondelete="CASCADE"), primary_key=True)
    label_id: Mapped[int] = mapped_column(ForeignKey("label.id"), primary_key=True)
    state: Mapped[str] = mapped_column(comment="of the name: matched, synonym, …")
    how: Mapped[str | None] = mapped_column(comment="exact, gender variant, …")
    taxon_id: Mapped[int | None] = mapped_column(ForeignKey("taxon.id", ondelete="SET NULL"), index=True)
    change: Mapped[str] = mapped_column(comment="of the label")
    new_label_id: Mapped[int] = mapped_column(
        ForeignKey("label.id"), comment="what images get; the published label where nothing changes"
    )
    detail: Mapped[str | None]
    __table_args__ = (
        CheckConstraint(
            one_of("state", ("matched", "synonym", "homonym-resolved", "ambiguous", "unmatched")), name="state"
        ),
        CheckConstraint(
            one_of("change", ("same", "filled", "moved", "renamed", "conflicting", "unresolved", "ambiguous")),
            name="change",
        ),
        {"sqlite_with_rowid": False},
    )


# ------------------------------------------------------------------ images


class Image(Base):
    __tablename__ = "image"
    id: Mapped[Key]
    treeoflife_id: Mapped[Uuid]
    source_id: Mapped[int] = _fk("source.id")
    container_id: Mapped[int | None] = mapped_column(ForeignKey("container.id"), index=True)
    member: Mapped[str | None] = mapped_column(comment="NULL: <treeoflife_id>.jpg")
    member_index: Mapped[int | None] = mapped_column(comment="place in the container; NULL: not found there")
    data_offset: Mapped[int | None] = mapped_column(comment="in the uncompressed archive; NULL in folders")
    size: Mapped[int | None] = mapped_column("bytes")
    label_id: Mapped[int | None] = mapped_column(ForeignKey("label.id"))
    published_label_id: Mapped[int | None] = mapped_column(
        ForeignKey("label.id"), comment="where label_id is not the published one any more"
    )
    __table_args__ = (
        CheckConstraint("typeof(treeoflife_id) = 'blob' AND length(treeoflife_id) = 16", name="treeoflife_id"),
        CheckConstraint("member_index IS NULL OR container_id IS NOT NULL", name="located"),
        # no constraint: an index can be built when the table has been filled
        Index("ix_image_treeoflife_id", "treeoflife_id", unique=True),
    )


class EolImage(Base):
    """EOL's own keys of an image."""

    __tablename__ = "eol_image"
    image_id: Mapped[int] = mapped_column(
        ForeignKey("image.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    content_id: Mapped[int] = mapped_column(index=True)
    page_id: Mapped[int]


class Licence(Base):
    __tablename__ = "licence"
    id: Mapped[Key]
    name: Mapped[str]
    link: Mapped[str] = mapped_column(server_default=text("''"))
    __table_args__ = (UniqueConstraint("name", "link"),)


class ImageLicence(Base):
    __tablename__ = "image_licence"
    image_id: Mapped[int] = mapped_column(
        ForeignKey("image.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    licence_id: Mapped[int] = _fk("licence.id")
    copyright_owner: Mapped[str]
    title: Mapped[str]
    medium_source_url: Mapped[str]
    eol_full_size_copy_url: Mapped[str]
    md5: Mapped[bytes | None] = mapped_column(LargeBinary(16), comment="of the published file")


# ------------------------------------------------------------------ who is in, who stays out


class Split(Base):
    __tablename__ = "split"
    id: Mapped[Key]
    name: Mapped[str] = mapped_column(unique=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("split.id"), comment="drawn from this split")
    complement_of_id: Mapped[int | None] = mapped_column(ForeignKey("split.id"), comment="disjoint from it")
    policy: Mapped[str]
    split_by: Mapped[str] = mapped_column(server_default="image")
    seed: Mapped[int | None]
    fraction: Mapped[float | None]
    created_at: Mapped[Timestamp]
    __table_args__ = (
        CheckConstraint(one_of("policy", ("published", "hash", "complement", "file")), name="policy"),
        CheckConstraint(one_of("split_by", ("image", "taxon")), name="split_by"),
        CheckConstraint("policy <> 'hash' OR (seed IS NOT NULL AND fraction BETWEEN 0 AND 1)", name="hash"),
        CheckConstraint("policy <> 'complement' OR complement_of_id IS NOT NULL", name="complement"),
    )


class SplitMember(Base):
    __tablename__ = "split_member"
    split_id: Mapped[int] = mapped_column(ForeignKey("split.id", ondelete="CASCADE"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    __table_args__ = ({"sqlite_with_rowid": False},)


class Blacklist(Base):
    __tablename__ = "blacklist"
    id: Mapped[Key]
    name: Mapped[str] = mapped_column(unique=True)
    reason: Mapped[str] = mapped_column(server_default=text("''"))
    created_at: Mapped[Timestamp]


class BlacklistEntry(Base):
    """A line of a blacklist, kept verbatim whether it matches an image today or not."""

    __tablename__ = "blacklist_entry"
    id: Mapped[Key]
    blacklist_id: Mapped[int] = mapped_column(ForeignKey("blacklist.id", ondelete="CASCADE"))
    kind: Mapped[str]
    value: Mapped[str]
    content_id: Mapped[int | None] = mapped_column(index=True)
    page_id: Mapped[int | None]
    treeoflife_id: Mapped[Uuid | None]
    kingdom: Mapped[str | None]
    genus: Mapped[str | None]
    species: Mapped[str | None]
    source_file_id: Mapped[int | None] = mapped_column(ForeignKey("source_file.id"))
    __table_args__ = (
        UniqueConstraint("blacklist_id", "kind", "value"),
        CheckConstraint(one_of("kind", ("image", "taxon")), name="kind"),
        Index("ix_blacklist_entry_genus_species", "genus", "species"),
    )


class BlacklistName(Base):
    """Another name of the species that an entry names, by the latest assembled taxonomy."""

    __tablename__ = "blacklist_name"
    entry_id: Mapped[int] = mapped_column(ForeignKey("blacklist_entry.id", ondelete="CASCADE"), primary_key=True)
    genus: Mapped[str] = mapped_column(primary_key=True)
    species: Mapped[str] = mapped_column(primary_key=True)
    kingdom: Mapped[str] = mapped_column(comment="with which a label's may not disagree; '' where none is known")
    __table_args__ = (
        Index("ix_blacklist_name_genus_species", "genus", "species"),
        {"sqlite_with_rowid": False},
    )


class BlacklistTaxon(Base):
    """A taxon of the species that an entry names: it, and what lies below it."""

    __tablename__ = "blacklist_taxon"
    entry_id: Mapped[int] = mapped_column(ForeignKey("blacklist_entry.id", ondelete="CASCADE"), primary_key=True)
    taxon_id: Mapped[int] = mapped_column(ForeignKey("taxon.id", ondelete="CASCADE"), primary_key=True, index=True)
    __table_args__ = ({"sqlite_with_rowid": False},)


# ------------------------------------------------------------------ a build


class OutcomeRow(Base):
    """The fixed vocabulary of :class:`tol_db.db.base.Outcome`; new ones come by migration."""

    __tablename__ = "outcome"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(unique=True)
    meaning: Mapped[str]


class RecipeRow(Base):
    """What a sample is, with the library versions that fix its bytes."""

    __tablename__ = "recipe"
    id: Mapped[Key]
    name: Mapped[str]
    digest: Mapped[Sha256] = mapped_column(unique=True)
    parameters: Mapped[str] = mapped_column(comment="JSON")
    pillow: Mapped[str]
    libjpeg_turbo: Mapped[str]
    resizer: Mapped[str | None]
    created_at: Mapped[Timestamp]


class Dataset(Base):
    __tablename__ = "dataset"
    id: Mapped[Key]
    name: Mapped[str] = mapped_column(unique=True)
    uuid: Mapped[str] = mapped_column(unique=True, comment="also in the marker file of the output root")
    recipe_id: Mapped[int] = _fk("recipe.id")
    image_order: Mapped[str]
    seed: Mapped[int]
    shard_images: Mapped[int] = mapped_column(comment="images per shard at most")
    blacklist_policy: Mapped[str] = mapped_column(
        server_default=text("'all'"), comment="all: also lists that come later; named: those of dataset_blacklist"
    )
    output_root: Mapped[str]
    plan_digest: Mapped[Sha256] = mapped_column(comment="over the shard digests in order")
    created_at: Mapped[Timestamp]
    planned_at: Mapped[Timestamp]
    __table_args__ = (
        CheckConstraint(one_of("image_order", ("source", "shuffled")), name="image_order"),
        CheckConstraint("shard_images > 0", name="shard_images"),
        CheckConstraint(one_of("blacklist_policy", ("all", "named")), name="blacklist_policy"),
    )


class DatasetSplit(Base):
    """A split of a dataset and its counters; members = planned + excluded."""

    __tablename__ = "dataset_split"
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    split_id: Mapped[int] = mapped_column(ForeignKey("split.id"), primary_key=True)
    members: Mapped[int] = mapped_column(comment="in the split when it was planned")
    planned: Mapped[int]
    excluded: Mapped[int]
    written: Mapped[int] = mapped_column(server_default="0")
    left_out: Mapped[int] = mapped_column(server_default="0")
    __table_args__ = ({"sqlite_with_rowid": False},)


class DatasetBlacklist(Base):
    __tablename__ = "dataset_blacklist"
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    blacklist_id: Mapped[int] = mapped_column(ForeignKey("blacklist.id"), primary_key=True)
    __table_args__ = ({"sqlite_with_rowid": False},)


class DatasetLicence(Base):
    """A licence, or a family of licences, that a dataset admits; none: all."""

    __tablename__ = "dataset_licence"
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    word: Mapped[str] = mapped_column(primary_key=True, comment="as `plan --license` took it, in one spelling")
    __table_args__ = ({"sqlite_with_rowid": False},)


class WorkUnit(Base):
    """Shards that are read together in one pass over the same containers: a contiguous range of numbers."""

    __tablename__ = "work_unit"
    id: Mapped[Key]
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"))
    number: Mapped[int]
    first_shard: Mapped[int]
    last_shard: Mapped[int]
    images: Mapped[int] = mapped_column(comment="distinct images that are read")
    size: Mapped[int] = mapped_column("bytes", comment="of these images, as stored")
    __table_args__ = (
        UniqueConstraint("dataset_id", "number"),
        CheckConstraint("first_shard <= last_shard", name="range"),
    )


class Attempt(Base):
    """One try of one process at one work unit."""

    __tablename__ = "attempt"
    id: Mapped[Key]
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), index=True)
    work_unit_id: Mapped[int | None] = mapped_column(ForeignKey("work_unit.id", ondelete="CASCADE"))
    token: Mapped[str] = mapped_column(unique=True, comment="in the names of its partial files and receipts")
    host: Mapped[str]
    pid: Mapped[int]
    slurm_job_id: Mapped[str | None]
    slurm_array_task: Mapped[str | None]
    started_at: Mapped[Timestamp]
    ended_at: Mapped[Timestamp | None]
    ending: Mapped[str | None]
    detail: Mapped[str | None]
    __table_args__ = (
        CheckConstraint(
            "ending IS NULL OR " + one_of("ending", ("done", "failed", "interrupted", "lost")), name="ending"
        ),
    )


class Shard(Base):
    """A shard file. ``number`` is dense over the dataset in unit order; ``ordinal`` is its file name."""

    __tablename__ = "shard"
    id: Mapped[Key]
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"))
    number: Mapped[int]
    work_unit_id: Mapped[int] = mapped_column(ForeignKey("work_unit.id", ondelete="CASCADE"), index=True)
    split_id: Mapped[int] = _fk("split.id")
    ordinal: Mapped[int]
    state: Mapped[str] = mapped_column(server_default=ShardState.PLANNED.value)
    digest: Mapped[Sha256] = mapped_column(comment="recipe, split, ordinal, ids and labels in order")
    planned: Mapped[int]
    written: Mapped[int] = mapped_column(server_default="0")
    left_out: Mapped[int] = mapped_column(server_default="0")
    size: Mapped[int | None] = mapped_column("bytes")
    sha256: Mapped[Sha256 | None]
    seconds: Mapped[float | None] = mapped_column(comment="from the first byte to the final name")
    attempt_id: Mapped[int | None] = mapped_column(ForeignKey("attempt.id"))
    completed_at: Mapped[Timestamp | None]
    detail: Mapped[str | None]
    __table_args__ = (
        UniqueConstraint("dataset_id", "number"),
        UniqueConstraint("dataset_id", "split_id", "ordinal"),
        Index("ix_shard_dataset_id_state", "dataset_id", "state"),
        CheckConstraint(one_of("state", ShardState), name="state"),
        CheckConstraint("length(digest) = 32", name="digest"),
    )


class ShardImage(Base):
    """The status of each image: in which shard, at which position, with which label, with what outcome."""

    __tablename__ = "shard_image"
    shard_id: Mapped[int] = mapped_column(ForeignKey("shard.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), index=True)
    label_id: Mapped[int] = mapped_column(ForeignKey("label.id"), comment="pinned when it was planned")
    outcome_id: Mapped[int] = mapped_column(ForeignKey("outcome.id"), server_default="0")
    detail: Mapped[str | None]
    width: Mapped[int | None] = mapped_column(comment="of the original, pixels")
    height: Mapped[int | None]
    mode: Mapped[str | None] = mapped_column(comment="Pillow's name of the original's pixel format")
    content_digest: Mapped[Digest16 | None] = mapped_column(comment="sha256 of the original, 16 bytes of it")
    jpg_digest: Mapped[Digest16 | None] = mapped_column(comment="sha256 of the jpg, 16 bytes of it")
    __table_args__ = ({"sqlite_with_rowid": False},)


class VerifyRun(Base):
    """A run of `verify` over a dataset, or over a range of its shard numbers."""

    __tablename__ = "verify_run"
    id: Mapped[Key]
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), index=True)
    level: Mapped[str]
    first_shard: Mapped[int | None] = mapped_column(comment="NULL: all shards")
    last_shard: Mapped[int | None]
    started_at: Mapped[Timestamp]
    ended_at: Mapped[Timestamp | None] = mapped_column(comment="NULL while it is not finished")
    __table_args__ = (
        CheckConstraint(one_of("level", ("default", "deep")), name="level"),
        CheckConstraint("(first_shard IS NULL) = (last_shard IS NULL)", name="range"),
    )


class Verification(Base):
    """The last result of each level of `verify` for a shard, of the file that was there then (``checked_at``)."""

    __tablename__ = "verification"
    shard_id: Mapped[int] = mapped_column(
        ForeignKey("shard.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    run_id: Mapped[int] = mapped_column(ForeignKey("verify_run.id", ondelete="CASCADE"), index=True)
    level: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[str]
    detail: Mapped[str | None] = mapped_column(comment="the first findings")
    findings: Mapped[int] = mapped_column(server_default="0")
    size: Mapped[int] = mapped_column("bytes")
    seconds: Mapped[float]
    checked_at: Mapped[Timestamp]
    __table_args__ = (
        CheckConstraint(one_of("level", ("default", "deep")), name="level"),
        CheckConstraint(one_of("outcome", ("good", "bad", "missing")), name="outcome"),
        CheckConstraint("(outcome = 'good') = (findings = 0)", name="findings"),
    )


class Exclusion(Base):
    """An image that the plan itself leaves out of a split, and why."""

    __tablename__ = "exclusion"
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    split_id: Mapped[int] = mapped_column(ForeignKey("split.id"), primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("image.id"), primary_key=True)
    outcome_id: Mapped[int] = _fk("outcome.id")
    detail: Mapped[str | None]
    __table_args__ = (CheckConstraint("outcome_id > 1", name="outcome"), {"sqlite_with_rowid": False})


class Lease(Base):
    """Who works on a dataset now."""

    __tablename__ = "lease"
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), primary_key=True)
    token: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    slurm_job_id: Mapped[str | None]
    acquired_at: Mapped[Timestamp]
    heartbeat_at: Mapped[Timestamp]


class Submission(Base):
    """What was handed to SLURM."""

    __tablename__ = "submission"
    id: Mapped[Key]
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id", ondelete="CASCADE"), index=True)
    kind: Mapped[str]
    slurm_job_id: Mapped[str] = mapped_column(comment="0 until sbatch has told it")
    first_unit: Mapped[int | None]
    last_unit: Mapped[int | None]
    snapshot_sha256: Mapped[Sha256 | None]
    script: Mapped[str] = mapped_column(server_default=text("''"))
    submitted_at: Mapped[Timestamp]
    cluster: Mapped[str | None] = mapped_column(comment="ClusterName, whose number the job has; null: not known")
    job_name: Mapped[str | None] = mapped_column(comment="no other job has it")
    ended_at: Mapped[Timestamp | None] = mapped_column(comment="when its cluster was seen not to list it any more")
    __table_args__ = (CheckConstraint(one_of("kind", ("array", "collect", "verify", "report")), name="kind"),)
