-- title: No image is both in a shard and excluded
-- answers: Is any image planned into a shard of a split that it is also left out of?
-- row: an image that has an exclusion and a place in the same split of a dataset
-- empty: must
-- invariant: yes

SELECT d.name AS dataset, p.name AS split, v.treeoflife_id, printf('shard-%06d.tar', h.ordinal) AS file, m.position, o.name AS excluded_as
FROM exclusion x
CROSS JOIN shard_image m ON m.image_id = x.image_id
CROSS JOIN shard h ON h.id = m.shard_id AND h.dataset_id = x.dataset_id AND h.split_id = x.split_id
JOIN dataset d ON d.id = x.dataset_id
JOIN split p ON p.id = x.split_id
JOIN outcome o ON o.id = x.outcome_id
JOIN v_image v ON v.image_id = x.image_id;
