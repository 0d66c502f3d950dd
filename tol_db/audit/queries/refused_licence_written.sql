-- title: No image of a licence that its dataset does not admit is written
-- answers: Which written images of a dataset that was planned with --license have another licence today?
-- row: a place in a shard, with the licence of its image
-- empty: must
-- invariant: yes

SELECT d.name AS dataset, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, m.position,
       (SELECT treeoflife_id FROM v_image v WHERE v.image_id = m.image_id) AS treeoflife_id,
       coalesce(l.name, 'that of its source') AS licence
-- only datasets that have a choice are read at all
FROM (SELECT DISTINCT dataset_id FROM dataset_licence) f
CROSS JOIN dataset d ON d.id = f.dataset_id
CROSS JOIN shard h ON h.dataset_id = d.id
CROSS JOIN shard_image m ON m.shard_id = h.id AND m.outcome_id = 1
CROSS JOIN image i ON i.id = m.image_id
JOIN split p ON p.id = h.split_id
LEFT JOIN image_licence x ON x.image_id = m.image_id
LEFT JOIN licence l ON l.id = x.licence_id
WHERE NOT EXISTS (
    SELECT 1 FROM v_dataset_licence a
    WHERE a.dataset_id = d.id
      AND CASE WHEN x.licence_id IS NULL THEN a.source_id = i.source_id ELSE a.licence_id = x.licence_id END
)
ORDER BY d.name, h.number, m.position;
