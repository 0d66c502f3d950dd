"""Views for people: ids as text, names instead of numbers; and what the blacklists match today."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UUID_TEXT = (
    "lower(substr(hex({0}), 1, 8) || '-' || substr(hex({0}), 9, 4) || '-' || substr(hex({0}), 13, 4)"
    " || '-' || substr(hex({0}), 17, 4) || '-' || substr(hex({0}), 21))"
)
ID = UUID_TEXT.format("i.treeoflife_id")

VIEWS = {
    # one row per image: where it lies and what it is called today
    "v_image": f"""
        SELECT i.id AS image_id, {ID} AS treeoflife_id, s.key AS source, c.path AS container, c.kind AS container_kind,
               CASE WHEN i.container_id IS NULL THEN NULL ELSE coalesce(i.member, {ID} || '.jpg') END AS member,
               i.member_index, i.bytes, e.content_id AS eol_content_id, e.page_id AS eol_page_id,
               l.kingdom, l.phylum, l.class, l."order", l.family, l.genus, l.species, l.common_name, l.resolution
        FROM image i
        JOIN source s ON s.id = i.source_id
        LEFT JOIN container c ON c.id = i.container_id
        LEFT JOIN eol_image e ON e.image_id = i.id
        LEFT JOIN label l ON l.id = i.label_id""",
    # one row per place in a shard
    "v_sample": f"""
        SELECT d.name AS dataset, p.name AS split, h.number AS shard, h.ordinal,
               printf('shard-%06d.tar', h.ordinal) AS file, h.state AS shard_state, m.position,
               {ID} AS treeoflife_id, o.name AS outcome, m.detail, m.width, m.height, m.mode,
               lower(hex(m.content_digest)) AS content_digest, lower(hex(m.jpg_digest)) AS jpg_digest,
               m.shard_id, m.image_id, m.label_id
        FROM shard_image m
        JOIN shard h ON h.id = m.shard_id
        JOIN dataset d ON d.id = h.dataset_id
        JOIN split p ON p.id = h.split_id
        JOIN image i ON i.id = m.image_id
        JOIN outcome o ON o.id = m.outcome_id""",
    # one row per image that a plan left out of a split
    "v_exclusion": f"""
        SELECT d.name AS dataset, p.name AS split, {ID} AS treeoflife_id, o.name AS outcome, x.detail,
               x.dataset_id, x.split_id, x.image_id
        FROM exclusion x
        JOIN dataset d ON d.id = x.dataset_id
        JOIN split p ON p.id = x.split_id
        JOIN image i ON i.id = x.image_id
        JOIN outcome o ON o.id = x.outcome_id""",
    # what was learnt of an image when it was read; an image in two splits of a dataset stands once per split
    "v_image_content": """
        SELECT image_id, width, height, mode, content_digest
        FROM shard_image WHERE content_digest IS NOT NULL""",
    # the blacklists that bind a dataset, those that came after its plan included
    "v_dataset_blacklist": """
        SELECT d.id AS dataset_id, b.id AS blacklist_id
        FROM dataset d JOIN blacklist b
        WHERE d.blacklist_policy = 'all'
           OR EXISTS (SELECT 1 FROM dataset_blacklist x WHERE x.dataset_id = d.id AND x.blacklist_id = b.id)""",
    # images that an entry names by EOL content id or by TreeOfLife id
    "v_blacklisted_image": """
        SELECT e.blacklist_id, e.id AS entry_id, x.image_id
        FROM blacklist_entry e JOIN eol_image x ON x.content_id = e.content_id
        WHERE e.kind = 'image'
        UNION ALL
        SELECT e.blacklist_id, e.id, i.id
        FROM blacklist_entry e JOIN image i ON i.treeoflife_id = e.treeoflife_id
        WHERE e.kind = 'image'""",
    # labels of the species that an entry names; kingdoms that are both given must agree
    "v_blacklisted_label": """
        SELECT e.blacklist_id, e.id AS entry_id, l.id AS label_id
        FROM blacklist_entry e JOIN label l ON l.genus = e.genus AND l.species = e.species
        WHERE e.kind = 'taxon' AND e.genus <> '' AND e.species <> ''
          AND (e.kingdom = '' OR l.kingdom = '' OR e.kingdom = l.kingdom)""",
}


def upgrade() -> None:
    for name, sql in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {sql.strip()}")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
