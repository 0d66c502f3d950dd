-- title: No image of a species that a blacklist names by another name is written
-- answers: Has any image been written whose species a binding blacklist means by a synonym, as the taxonomies know them?
-- row: an image in a shard, its label as written, the entry, and the name that both have in a taxonomy
-- empty: must
-- invariant: no

WITH
    entry(id, blacklist_id, name) AS (
        SELECT id, blacklist_id, genus || ' ' || species FROM blacklist_entry
        WHERE kind = 'taxon' AND genus <> '' AND species <> ''
    ),
    -- what a source lists beside its names is no name of the taxon, or one of several taxa
    no_name(kind) AS (
        VALUES ('authority'), ('blast name'), ('common name'), ('in-part'), ('type material'), ('valid')
    ),
    meant(entry_id, taxon_id) AS (
        SELECT e.id, t.id FROM entry e CROSS JOIN taxon t ON t.scientific_name = e.name
        UNION
        SELECT e.id, y.taxon_id FROM entry e CROSS JOIN synonym y ON y.name = e.name
        WHERE y.kind NOT IN (SELECT kind FROM no_name)
    ),
    called(entry_id, taxon_id, name) AS (
        SELECT m.entry_id, t.id, t.scientific_name FROM meant m CROSS JOIN taxon t ON t.id = m.taxon_id
        UNION
        SELECT m.entry_id, m.taxon_id, y.name FROM meant m CROSS JOIN synonym y ON y.taxon_id = m.taxon_id
        WHERE y.kind NOT IN (SELECT kind FROM no_name)
    ),
    -- labels of such a taxon, and labels that have one of its names, unless it is the entry's own: that one is
    -- looked for by blacklisted_taxon_written
    listed(entry_id, blacklist_id, label_id, taxon_id) AS (
        SELECT e.id, e.blacklist_id, l.id, max(x.taxon_id)
        FROM (
            SELECT m.entry_id, m.taxon_id, l.id AS label_id
            FROM label l CROSS JOIN meant m ON m.taxon_id = l.taxon_id WHERE l.taxon_id IS NOT NULL
            UNION
            SELECT c.entry_id, c.taxon_id, l.id
            FROM called c CROSS JOIN label l ON l.genus = substr(c.name, 1, instr(c.name, ' ') - 1)
                                            AND l.species = substr(c.name, instr(c.name, ' ') + 1)
            WHERE instr(c.name, ' ') > 0
        ) AS x
        CROSS JOIN blacklist_entry e ON e.id = x.entry_id
        CROSS JOIN label l ON l.id = x.label_id
        WHERE NOT (l.genus = e.genus AND l.species = e.species)
          AND (coalesce(e.kingdom, '') = '' OR l.kingdom = '' OR e.kingdom = l.kingdom)
        GROUP BY e.id, l.id
    )
SELECT d.name AS dataset, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, m.position, v.treeoflife_id,
       t.genus, t.species, b.name AS blacklist, e.value AS entry, n.scientific_name AS taxon
-- one pass over shard_image in its own order, as in blacklisted_taxon_written
FROM (
    SELECT shard_id, position, image_id, label_id FROM shard_image
    WHERE outcome_id = 1 AND label_id IN (SELECT label_id FROM listed)
    LIMIT -1
) AS m
CROSS JOIN shard h ON h.id = m.shard_id
CROSS JOIN v_dataset_blacklist l ON l.dataset_id = h.dataset_id
CROSS JOIN listed x ON x.label_id = m.label_id AND x.blacklist_id = l.blacklist_id
JOIN taxon n ON n.id = x.taxon_id
JOIN label t ON t.id = m.label_id
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
JOIN blacklist b ON b.id = x.blacklist_id
JOIN blacklist_entry e ON e.id = x.entry_id
JOIN v_image v ON v.image_id = m.image_id;
