-- title: Shards that were complete and are not any more
-- answers: Which shards were found bad, missing or stale, and why?
-- row: a shard that has to be written again
-- empty: may
-- invariant: no
-- when: every shard that was found damaged has been written again

SELECT d.name AS dataset, h.number AS shard, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, h.state, h.detail
FROM shard h
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
WHERE h.state IN ('bad', 'missing', 'stale')
ORDER BY d.name, h.number;
