-- title: Every member of a planned split is placed or excluded
-- answers: Did the plan account for every image that was in the split when it was made?
-- row: a split of a dataset whose members are not as many as its images in shards and its exclusions
-- empty: must
-- invariant: yes

SELECT dataset, split, members, in_shards, excluded, members - in_shards - excluded AS missing
FROM (
    SELECT d.name AS dataset, p.name AS split, t.members,
           -- uq_shard_dataset_id_split_id_ordinal, then the primary key: each shard is read once
           (SELECT count(*) FROM shard h CROSS JOIN shard_image m ON m.shard_id = h.id
            WHERE h.dataset_id = t.dataset_id AND h.split_id = t.split_id) AS in_shards,
           (SELECT count(*) FROM exclusion x
            WHERE x.dataset_id = t.dataset_id AND x.split_id = t.split_id) AS excluded
    FROM dataset_split t
    JOIN dataset d ON d.id = t.dataset_id
    JOIN split p ON p.id = t.split_id
)
WHERE members <> in_shards + excluded;
