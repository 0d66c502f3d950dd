"""The tables, and the fixed vocabulary of outcomes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# written out, not imported: a migration stays what it was when the program moves on
OUTCOMES = (
    ("pending", "planned, not written yet"),
    ("written", "in a complete shard"),
    ("blacklisted_image", "a blacklist names this image"),
    ("blacklisted_taxon", "a blacklist names the species of this image"),
    ("no_label", "no name is known for it, or all seven ranks are empty"),
    ("licence_filtered", "its licence is not among those asked for"),
    ("source_missing", "no file was found for it in the scanned containers"),
    ("decode_error", "its bytes are not a picture that can be decoded"),
    ("truncated", "the picture is cut off and the recipe leaves such pictures out"),
    ("too_large", "more pixels than the recipe allows"),
    ("unsupported_mode", "its pixel format cannot be written by the recipe"),
    ("timeout", "decoding it did not end in time"),
    ("duplicate", "the same id was met again"),
)


def upgrade() -> None:
    op.create_table(
        "blacklist",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), server_default="", nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blacklist")),
        sa.UniqueConstraint("name", name=op.f("uq_blacklist_name")),
    )
    op.create_table(
        "licence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("link", sa.String(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_licence")),
        sa.UniqueConstraint("name", "link", name=op.f("uq_licence_name_link")),
    )
    op.create_table(
        "outcome",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("meaning", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outcome")),
        sa.UniqueConstraint("name", name=op.f("uq_outcome_name")),
    )
    op.create_table(
        "recipe",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("parameters", sa.String(), nullable=False),
        sa.Column("pillow", sa.String(), nullable=False),
        sa.Column("libjpeg_turbo", sa.String(), nullable=False),
        sa.Column("resizer", sa.String(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipe")),
        sa.UniqueConstraint("digest", name=op.f("uq_recipe_digest")),
    )
    op.create_table(
        "source",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("root", sa.Text(), nullable=True),
        sa.Column("release", sa.String(), nullable=True),
        sa.Column("url", sa.String(), nullable=True),
        sa.Column("licence", sa.String(), nullable=True),
        sa.Column("citation", sa.String(), nullable=True),
        sa.Column("retrieved_at", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("key", name=op.f("uq_source_key")),
    )
    op.create_table(
        "split",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("complement_of_id", sa.Integer(), nullable=True),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("split_by", sa.String(), server_default="image", nullable=False),
        sa.Column("seed", sa.Integer(), nullable=True),
        sa.Column("fraction", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "policy <> 'complement' OR complement_of_id IS NOT NULL", name=op.f("ck_split_complement")
        ),
        sa.CheckConstraint(
            "policy <> 'hash' OR (seed IS NOT NULL AND fraction BETWEEN 0 AND 1)", name=op.f("ck_split_hash")
        ),
        sa.CheckConstraint("policy IN ('published', 'hash', 'complement', 'file')", name=op.f("ck_split_policy")),
        sa.CheckConstraint("split_by IN ('image', 'taxon')", name=op.f("ck_split_split_by")),
        sa.ForeignKeyConstraint(["complement_of_id"], ["split.id"], name=op.f("fk_split_complement_of_id_split")),
        sa.ForeignKeyConstraint(["parent_id"], ["split.id"], name=op.f("fk_split_parent_id_split")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_split")),
        sa.UniqueConstraint("name", name=op.f("uq_split_name")),
    )
    op.create_table(
        "container",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("group_number", sa.Integer(), nullable=True),
        sa.Column("group_name", sa.String(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("members", sa.Integer(), nullable=True),
        sa.Column("bytes", sa.Integer(), nullable=True),
        sa.Column("mtime_ns", sa.Integer(), nullable=True),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("scanned_at", sa.Text(), nullable=True),
        sa.Column("seek_index", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("kind IN ('tar_gz', 'tar', 'directory')", name=op.f("ck_container_kind")),
        sa.CheckConstraint("state <> 'scanned' OR scanned_at IS NOT NULL", name=op.f("ck_container_scanned")),
        sa.CheckConstraint(
            "state IN ('expected', 'scanned', 'damaged', 'missing')", name=op.f("ck_container_state")
        ),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_container_source_id_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_container")),
        sa.UniqueConstraint("source_id", "path", name=op.f("uq_container_source_id_path")),
    )
    op.create_table(
        "dataset",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("uuid", sa.String(), nullable=False),
        sa.Column("recipe_id", sa.Integer(), nullable=False),
        sa.Column("image_order", sa.String(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("shard_images", sa.Integer(), nullable=False),
        sa.Column("blacklist_policy", sa.String(), server_default=sa.text("'all'"), nullable=False),
        sa.Column("output_root", sa.String(), nullable=False),
        sa.Column("plan_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("planned_at", sa.Text(), nullable=False),
        sa.CheckConstraint("image_order IN ('source', 'shuffled')", name=op.f("ck_dataset_image_order")),
        sa.CheckConstraint("shard_images > 0", name=op.f("ck_dataset_shard_images")),
        sa.CheckConstraint("blacklist_policy IN ('all', 'named')", name=op.f("ck_dataset_blacklist_policy")),
        sa.ForeignKeyConstraint(["recipe_id"], ["recipe.id"], name=op.f("fk_dataset_recipe_id_recipe")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("name", name=op.f("uq_dataset_name")),
        sa.UniqueConstraint("uuid", name=op.f("uq_dataset_uuid")),
    )
    op.create_table(
        "source_file",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("root", sa.String(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("mtime_ns", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("rows_read", sa.Integer(), nullable=False),
        sa.Column("read_at", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.CheckConstraint("typeof(sha256) = 'blob' AND length(sha256) = 32", name=op.f("ck_source_file_sha256")),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_source_file_source_id_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_file")),
        sa.UniqueConstraint("kind", "root", "path", name=op.f("uq_source_file_kind_root_path")),
    )
    op.create_table(
        "blacklist_entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("blacklist_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("content_id", sa.Integer(), nullable=True),
        sa.Column("page_id", sa.Integer(), nullable=True),
        sa.Column("treeoflife_id", sa.LargeBinary(length=16), nullable=True),
        sa.Column("kingdom", sa.String(), nullable=True),
        sa.Column("genus", sa.String(), nullable=True),
        sa.Column("species", sa.String(), nullable=True),
        sa.Column("source_file_id", sa.Integer(), nullable=True),
        sa.CheckConstraint("kind IN ('image', 'taxon')", name=op.f("ck_blacklist_entry_kind")),
        sa.ForeignKeyConstraint(
            ["blacklist_id"],
            ["blacklist.id"],
            name=op.f("fk_blacklist_entry_blacklist_id_blacklist"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["source_file_id"], ["source_file.id"], name=op.f("fk_blacklist_entry_source_file_id_source_file")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_blacklist_entry")),
        sa.UniqueConstraint(
            "blacklist_id", "kind", "value", name=op.f("uq_blacklist_entry_blacklist_id_kind_value")
        ),
    )
    with op.batch_alter_table("blacklist_entry", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_blacklist_entry_content_id"), ["content_id"], unique=False)
        batch_op.create_index("ix_blacklist_entry_genus_species", ["genus", "species"], unique=False)

    op.create_table(
        "dataset_blacklist",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("blacklist_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["blacklist_id"], ["blacklist.id"], name=op.f("fk_dataset_blacklist_blacklist_id_blacklist")
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["dataset.id"],
            name=op.f("fk_dataset_blacklist_dataset_id_dataset"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", "blacklist_id", name=op.f("pk_dataset_blacklist")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "dataset_split",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("split_id", sa.Integer(), nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.Column("planned", sa.Integer(), nullable=False),
        sa.Column("excluded", sa.Integer(), nullable=False),
        sa.Column("written", sa.Integer(), server_default="0", nullable=False),
        sa.Column("left_out", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["dataset.id"],
            name=op.f("fk_dataset_split_dataset_id_dataset"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["split_id"], ["split.id"], name=op.f("fk_dataset_split_split_id_split")),
        sa.PrimaryKeyConstraint("dataset_id", "split_id", name=op.f("pk_dataset_split")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "lease",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("slurm_job_id", sa.String(), nullable=True),
        sa.Column("acquired_at", sa.Text(), nullable=False),
        sa.Column("heartbeat_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_lease_dataset_id_dataset"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("dataset_id", name=op.f("pk_lease")),
    )
    op.create_table(
        "stray_member",
        sa.Column("container_id", sa.Integer(), nullable=False),
        sa.Column("member_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["container_id"],
            ["container.id"],
            name=op.f("fk_stray_member_container_id_container"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("container_id", "member_index", name=op.f("pk_stray_member")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "submission",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("slurm_job_id", sa.String(), nullable=False),
        sa.Column("first_unit", sa.Integer(), nullable=True),
        sa.Column("last_unit", sa.Integer(), nullable=True),
        sa.Column("snapshot_sha256", sa.LargeBinary(length=32), nullable=True),
        sa.Column("script", sa.String(), server_default=sa.text("('')"), nullable=False),
        sa.Column("submitted_at", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('array', 'collect', 'verify', 'report')", name=op.f("ck_submission_kind")),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_submission_dataset_id_dataset"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submission")),
    )
    with op.batch_alter_table("submission", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_submission_dataset_id"), ["dataset_id"], unique=False)

    op.create_table(
        "taxonomy",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=True),
        sa.Column("parameters", sa.String(), server_default="{}", nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=True),
        sa.Column("source_file_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.CheckConstraint("kind IN ('source', 'assembled')", name=op.f("ck_taxonomy_kind")),
        sa.ForeignKeyConstraint(
            ["source_file_id"], ["source_file.id"], name=op.f("fk_taxonomy_source_file_id_source_file")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_taxonomy")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_taxonomy_name_version")),
    )
    op.create_table(
        "work_unit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("first_shard", sa.Integer(), nullable=False),
        sa.Column("last_shard", sa.Integer(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.CheckConstraint("first_shard <= last_shard", name=op.f("ck_work_unit_range")),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_work_unit_dataset_id_dataset"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_unit")),
        sa.UniqueConstraint("dataset_id", "number", name=op.f("uq_work_unit_dataset_id_number")),
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("work_unit_id", sa.Integer(), nullable=True),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("slurm_job_id", sa.String(), nullable=True),
        sa.Column("slurm_array_task", sa.String(), nullable=True),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.Column("ending", sa.String(), nullable=True),
        sa.Column("detail", sa.String(), nullable=True),
        sa.CheckConstraint(
            "ending IS NULL OR ending IN ('done', 'failed', 'interrupted', 'lost')",
            name=op.f("ck_attempt_ending"),
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_attempt_dataset_id_dataset"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["work_unit_id"],
            ["work_unit.id"],
            name=op.f("fk_attempt_work_unit_id_work_unit"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
        sa.UniqueConstraint("token", name=op.f("uq_attempt_token")),
    )
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_attempt_dataset_id"), ["dataset_id"], unique=False)

    op.create_table(
        "taxon",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("taxonomy_id", sa.Integer(), nullable=False),
        sa.Column("source_key", sa.String(), nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=True),
        sa.Column("scientific_name", sa.String(), nullable=False),
        sa.Column("rank", sa.String(), nullable=False),
        sa.Column("flags", sa.String(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["parent_id"], ["taxon.id"], name=op.f("fk_taxon_parent_id_taxon")),
        sa.ForeignKeyConstraint(["taxonomy_id"], ["taxonomy.id"], name=op.f("fk_taxon_taxonomy_id_taxonomy")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_taxon")),
        sa.UniqueConstraint("taxonomy_id", "source_key", name=op.f("uq_taxon_taxonomy_id_source_key")),
    )
    with op.batch_alter_table("taxon", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_taxon_parent_id"), ["parent_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_taxon_scientific_name"), ["scientific_name"], unique=False)

    op.create_table(
        "label",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kingdom", sa.String(), nullable=False),
        sa.Column("phylum", sa.String(), nullable=False),
        sa.Column("class", sa.String(), nullable=False),
        sa.Column("order", sa.String(), nullable=False),
        sa.Column("family", sa.String(), nullable=False),
        sa.Column("genus", sa.String(), nullable=False),
        sa.Column("species", sa.String(), nullable=False),
        sa.Column("common_name", sa.String(), nullable=False),
        sa.Column("resolution", sa.String(), nullable=False),
        sa.Column("taxon_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["taxon_id"], ["taxon.id"], name=op.f("fk_label_taxon_id_taxon")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
        sa.UniqueConstraint(
            "kingdom",
            "phylum",
            "class",
            "order",
            "family",
            "genus",
            "species",
            "common_name",
            "resolution",
            name="uq_label_text",
        ),
    )
    with op.batch_alter_table("label", schema=None) as batch_op:
        batch_op.create_index("ix_label_genus_species", ["genus", "species"], unique=False)

    op.create_table(
        "shard",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("work_unit_id", sa.Integer(), nullable=False),
        sa.Column("split_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), server_default="planned", nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("planned", sa.Integer(), nullable=False),
        sa.Column("written", sa.Integer(), server_default="0", nullable=False),
        sa.Column("left_out", sa.Integer(), server_default="0", nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=True),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("attempt_id", sa.Integer(), nullable=True),
        sa.Column("completed_at", sa.Text(), nullable=True),
        sa.Column("detail", sa.String(), nullable=True),
        sa.CheckConstraint(
            "state IN ('planned', 'complete', 'verified', 'bad', 'missing', 'stale')",
            name=op.f("ck_shard_state"),
        ),
        sa.CheckConstraint("length(digest) = 32", name=op.f("ck_shard_digest")),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_shard_attempt_id_attempt")),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_shard_dataset_id_dataset"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["split_id"], ["split.id"], name=op.f("fk_shard_split_id_split")),
        sa.ForeignKeyConstraint(
            ["work_unit_id"],
            ["work_unit.id"],
            name=op.f("fk_shard_work_unit_id_work_unit"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shard")),
        sa.UniqueConstraint("dataset_id", "number", name=op.f("uq_shard_dataset_id_number")),
        sa.UniqueConstraint("dataset_id", "split_id", "ordinal", name=op.f("uq_shard_dataset_id_split_id_ordinal")),
    )
    with op.batch_alter_table("shard", schema=None) as batch_op:
        batch_op.create_index("ix_shard_dataset_id_state", ["dataset_id", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_shard_work_unit_id"), ["work_unit_id"], unique=False)

    op.create_table(
        "synonym",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("taxon_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["taxon_id"], ["taxon.id"], name=op.f("fk_synonym_taxon_id_taxon"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_synonym")),
        sa.UniqueConstraint("taxon_id", "name", "kind", name=op.f("uq_synonym_taxon_id_name_kind")),
    )
    with op.batch_alter_table("synonym", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_synonym_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_synonym_taxon_id"), ["taxon_id"], unique=False)

    op.create_table(
        "taxon_provenance",
        sa.Column("taxon_id", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("source_taxon_id", sa.Integer(), nullable=False),
        sa.Column("how", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_taxon_id"], ["taxon.id"], name=op.f("fk_taxon_provenance_source_taxon_id_taxon")
        ),
        sa.ForeignKeyConstraint(
            ["taxon_id"], ["taxon.id"], name=op.f("fk_taxon_provenance_taxon_id_taxon"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("taxon_id", "ordinal", name=op.f("pk_taxon_provenance")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("taxon_provenance", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_taxon_provenance_source_taxon_id"), ["source_taxon_id"], unique=False)

    op.create_table(
        "vernacular_name",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("taxon_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("preferred", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("source", sa.String(), nullable=True),
        sa.CheckConstraint("preferred IN (0, 1)", name=op.f("ck_vernacular_name_preferred")),
        sa.ForeignKeyConstraint(
            ["taxon_id"], ["taxon.id"], name=op.f("fk_vernacular_name_taxon_id_taxon"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vernacular_name")),
        sa.UniqueConstraint("taxon_id", "name", "language", name=op.f("uq_vernacular_name_taxon_id_name_language")),
    )
    with op.batch_alter_table("vernacular_name", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_vernacular_name_taxon_id"), ["taxon_id"], unique=False)

    op.create_table(
        "image",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("treeoflife_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("container_id", sa.Integer(), nullable=True),
        sa.Column("member", sa.String(), nullable=True),
        sa.Column("member_index", sa.Integer(), nullable=True),
        sa.Column("data_offset", sa.Integer(), nullable=True),
        sa.Column("bytes", sa.Integer(), nullable=True),
        sa.Column("label_id", sa.Integer(), nullable=True),
        sa.Column("published_label_id", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "typeof(treeoflife_id) = 'blob' AND length(treeoflife_id) = 16",
            name=op.f("ck_image_treeoflife_id"),
        ),
        sa.CheckConstraint("member_index IS NULL OR container_id IS NOT NULL", name=op.f("ck_image_located")),
        sa.ForeignKeyConstraint(["container_id"], ["container.id"], name=op.f("fk_image_container_id_container")),
        sa.ForeignKeyConstraint(["label_id"], ["label.id"], name=op.f("fk_image_label_id_label")),
        sa.ForeignKeyConstraint(
            ["published_label_id"], ["label.id"], name=op.f("fk_image_published_label_id_label")
        ),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_image_source_id_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
        sa.UniqueConstraint("treeoflife_id", name=op.f("uq_image_treeoflife_id")),
    )
    with op.batch_alter_table("image", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_image_container_id"), ["container_id"], unique=False)

    op.create_table(
        "label_key",
        sa.Column("source_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=True),
        sa.Column("source_file_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["label_id"], ["label.id"], name=op.f("fk_label_key_label_id_label")),
        sa.ForeignKeyConstraint(
            ["source_file_id"], ["source_file.id"], name=op.f("fk_label_key_source_file_id_source_file")
        ),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name=op.f("fk_label_key_source_id_source")),
        sa.PrimaryKeyConstraint("source_id", "key", name=op.f("pk_label_key")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "eol_image",
        sa.Column("image_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content_id", sa.Integer(), nullable=False),
        sa.Column("page_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name=op.f("fk_eol_image_image_id_image"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_eol_image")),
    )
    with op.batch_alter_table("eol_image", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_eol_image_content_id"), ["content_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_eol_image_page_id"), ["page_id"], unique=False)

    op.create_table(
        "exclusion",
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("split_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("outcome_id", sa.Integer(), nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.CheckConstraint("outcome_id > 1", name=op.f("ck_exclusion_outcome")),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["dataset.id"], name=op.f("fk_exclusion_dataset_id_dataset"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_exclusion_image_id_image")),
        sa.ForeignKeyConstraint(["outcome_id"], ["outcome.id"], name=op.f("fk_exclusion_outcome_id_outcome")),
        sa.ForeignKeyConstraint(["split_id"], ["split.id"], name=op.f("fk_exclusion_split_id_split")),
        sa.PrimaryKeyConstraint("dataset_id", "split_id", "image_id", name=op.f("pk_exclusion")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "image_licence",
        sa.Column("image_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("licence_id", sa.Integer(), nullable=False),
        sa.Column("copyright_owner", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("medium_source_url", sa.String(), nullable=False),
        sa.Column("eol_full_size_copy_url", sa.String(), nullable=False),
        sa.Column("md5", sa.LargeBinary(length=16), nullable=True),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.id"], name=op.f("fk_image_licence_image_id_image"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["licence_id"], ["licence.id"], name=op.f("fk_image_licence_licence_id_licence")),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_image_licence")),
    )
    op.create_table(
        "shard_image",
        sa.Column("shard_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("label_id", sa.Integer(), nullable=False),
        sa.Column("outcome_id", sa.Integer(), server_default="0", nullable=False),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("mode", sa.String(), nullable=True),
        sa.Column("content_digest", sa.LargeBinary(length=16), nullable=True),
        sa.Column("jpg_digest", sa.LargeBinary(length=16), nullable=True),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_shard_image_image_id_image")),
        sa.ForeignKeyConstraint(["label_id"], ["label.id"], name=op.f("fk_shard_image_label_id_label")),
        sa.ForeignKeyConstraint(["outcome_id"], ["outcome.id"], name=op.f("fk_shard_image_outcome_id_outcome")),
        sa.ForeignKeyConstraint(
            ["shard_id"], ["shard.id"], name=op.f("fk_shard_image_shard_id_shard"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("shard_id", "position", name=op.f("pk_shard_image")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("shard_image", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_shard_image_image_id"), ["image_id"], unique=False)

    op.create_table(
        "split_member",
        sa.Column("split_id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name=op.f("fk_split_member_image_id_image")),
        sa.ForeignKeyConstraint(
            ["split_id"], ["split.id"], name=op.f("fk_split_member_split_id_split"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("split_id", "image_id", name=op.f("pk_split_member")),
        sqlite_with_rowid=False,
    )

    op.bulk_insert(
        sa.table("outcome", sa.column("id"), sa.column("name"), sa.column("meaning")),
        [{"id": number, "name": name, "meaning": meaning} for number, (name, meaning) in enumerate(OUTCOMES)],
    )


def downgrade() -> None:
    op.drop_table("split_member")
    with op.batch_alter_table("shard_image", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_shard_image_image_id"))

    op.drop_table("shard_image")
    op.drop_table("image_licence")
    op.drop_table("exclusion")
    with op.batch_alter_table("eol_image", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_eol_image_page_id"))
        batch_op.drop_index(batch_op.f("ix_eol_image_content_id"))

    op.drop_table("eol_image")
    op.drop_table("label_key")
    with op.batch_alter_table("image", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_image_container_id"))

    op.drop_table("image")
    with op.batch_alter_table("vernacular_name", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_vernacular_name_taxon_id"))

    op.drop_table("vernacular_name")
    with op.batch_alter_table("taxon_provenance", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_taxon_provenance_source_taxon_id"))

    op.drop_table("taxon_provenance")
    with op.batch_alter_table("synonym", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_synonym_taxon_id"))
        batch_op.drop_index(batch_op.f("ix_synonym_name"))

    op.drop_table("synonym")
    with op.batch_alter_table("shard", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_shard_work_unit_id"))
        batch_op.drop_index("ix_shard_dataset_id_state")

    op.drop_table("shard")
    with op.batch_alter_table("label", schema=None) as batch_op:
        batch_op.drop_index("ix_label_genus_species")

    op.drop_table("label")
    with op.batch_alter_table("taxon", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_taxon_scientific_name"))
        batch_op.drop_index(batch_op.f("ix_taxon_parent_id"))

    op.drop_table("taxon")
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_attempt_dataset_id"))

    op.drop_table("attempt")
    op.drop_table("work_unit")
    op.drop_table("taxonomy")
    with op.batch_alter_table("submission", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_submission_dataset_id"))

    op.drop_table("submission")
    op.drop_table("stray_member")
    op.drop_table("lease")
    op.drop_table("dataset_split")
    op.drop_table("dataset_blacklist")
    with op.batch_alter_table("blacklist_entry", schema=None) as batch_op:
        batch_op.drop_index("ix_blacklist_entry_genus_species")
        batch_op.drop_index(batch_op.f("ix_blacklist_entry_content_id"))

    op.drop_table("blacklist_entry")
    op.drop_table("source_file")
    op.drop_table("dataset")
    op.drop_table("container")
    op.drop_table("split")
    op.drop_table("source")
    op.drop_table("recipe")
    op.drop_table("outcome")
    op.drop_table("licence")
    op.drop_table("blacklist")
