-- title: Shards of disjoint splits share no image
-- answers: Is any image planned into two splits of a dataset that are to be disjoint (val and train, or what is drawn from them)?
-- row: an image and its places in both splits
-- empty: must
-- invariant: yes

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
SELECT d.name AS dataset, v.treeoflife_id, hp.name AS split, printf('shard-%06d.tar', h.ordinal) AS file,
       op.name AS other_split, printf('shard-%06d.tar', g.ordinal) AS other_file
FROM apart a
CROSS JOIN shard h ON h.split_id = a.held_id
-- a dataset without the other split need not be looked through
CROSS JOIN dataset_split t ON t.dataset_id = h.dataset_id AND t.split_id = a.other_id
CROSS JOIN shard_image m ON m.shard_id = h.id
CROSS JOIN shard_image o ON o.image_id = m.image_id
CROSS JOIN shard g ON g.id = o.shard_id AND g.dataset_id = h.dataset_id AND g.split_id = a.other_id
JOIN dataset d ON d.id = h.dataset_id
JOIN split hp ON hp.id = a.held_id
JOIN split op ON op.id = a.other_id
JOIN v_image v ON v.image_id = m.image_id;
