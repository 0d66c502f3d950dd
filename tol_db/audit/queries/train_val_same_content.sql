-- title: Equal bytes in splits that are to be disjoint
-- answers: Which images of disjoint splits (val and train) are the same bytes under two ids? They are reported, not dropped.
-- row: a pair of images
-- empty: may
-- invariant: no
-- when: no picture is on both sides of a split
-- slow: some fifteen seconds at ten million images: each digest of the larger side is looked up among those of the smaller

WITH RECURSIVE
    line(split_id, ancestor_id) AS (
        SELECT id, id FROM split
        UNION
        SELECT l.split_id, s.parent_id FROM line l JOIN split s ON s.id = l.ancestor_id WHERE s.parent_id IS NOT NULL
    ),
    apart(held_id, other_id) AS (
        SELECT DISTINCT hl.split_id, ol.split_id
        FROM split s JOIN line ol ON ol.ancestor_id = s.id JOIN line hl ON hl.ancestor_id = s.complement_of_id
    )
SELECT d.name AS dataset, hp.name AS split, hv.treeoflife_id, op.name AS other_split, ov.treeoflife_id AS other_id,
       lower(hex(same.content_digest)) AS content_digest
FROM (
    SELECT held.dataset_id, a.held_id, a.other_id, held.image_id, o.image_id AS other_image_id, o.content_digest
    -- the larger side is read once and looked up in the set of the smaller side's digests; LIMIT -1 keeps what
    -- that leaves, and the smaller side, tables of their own
    FROM (
        SELECT g.dataset_id, g.split_id, m.image_id, m.content_digest
        FROM shard g CROSS JOIN shard_image m ON m.shard_id = g.id
        WHERE g.split_id IN (SELECT other_id FROM apart) AND m.content_digest IN (
            SELECT n.content_digest FROM shard h CROSS JOIN shard_image n ON n.shard_id = h.id
            WHERE h.split_id IN (SELECT held_id FROM apart)
        )
        LIMIT -1
    ) AS o
    CROSS JOIN apart a ON a.other_id = o.split_id
    CROSS JOIN (
        SELECT h.dataset_id, h.split_id, m.image_id, m.content_digest
        FROM shard h CROSS JOIN shard_image m ON m.shard_id = h.id
        WHERE h.split_id IN (SELECT held_id FROM apart) AND m.content_digest IS NOT NULL
        LIMIT -1
    ) AS held ON held.content_digest = o.content_digest AND held.dataset_id = o.dataset_id
             AND held.split_id = a.held_id
    WHERE held.image_id <> o.image_id
) AS same
JOIN dataset d ON d.id = same.dataset_id
JOIN split hp ON hp.id = same.held_id
JOIN split op ON op.id = same.other_id
JOIN v_image hv ON hv.image_id = same.image_id
JOIN v_image ov ON ov.image_id = same.other_image_id;
