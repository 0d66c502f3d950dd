-- title: An image is written only in a complete or verified shard
-- answers: Is any image marked as written although its shard is not complete?
-- row: an image that is marked as written in a shard that is not complete or verified
-- empty: must
-- invariant: yes

SELECT d.name AS dataset, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, h.state, m.position, v.treeoflife_id
FROM shard h
CROSS JOIN shard_image m ON m.shard_id = h.id
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
JOIN v_image v ON v.image_id = m.image_id
WHERE h.state NOT IN ('complete', 'verified') AND m.outcome_id = 1;
