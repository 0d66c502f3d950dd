-- title: Images that came after the plan
-- answers: Which members of a dataset's splits has its plan neither placed nor excluded?
-- row: an image and the split of a dataset that it is missing from
-- empty: may
-- invariant: no
-- when: no image came after the plan

SELECT d.name AS dataset, p.name AS split, v.source, v.treeoflife_id
FROM dataset_split t
JOIN dataset d ON d.id = t.dataset_id
JOIN split p ON p.id = t.split_id
CROSS JOIN split_member s ON s.split_id = t.split_id
JOIN v_image v ON v.image_id = s.image_id
WHERE NOT EXISTS (
    SELECT 1 FROM shard_image m CROSS JOIN shard h ON h.id = m.shard_id
    WHERE m.image_id = s.image_id AND h.dataset_id = t.dataset_id AND h.split_id = t.split_id
)
AND NOT EXISTS (
    SELECT 1 FROM exclusion x
    WHERE x.dataset_id = t.dataset_id AND x.split_id = t.split_id AND x.image_id = s.image_id
);
