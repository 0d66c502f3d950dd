-- title: Shards that are to be written
-- answers: Which shards are not complete yet?
-- row: a shard that `materialize` will write
-- empty: may
-- invariant: no
-- when: every shard is written

SELECT d.name AS dataset, u.number AS unit, h.number AS shard, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, h.state, h.planned AS images
FROM shard h
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
JOIN work_unit u ON u.id = h.work_unit_id
WHERE h.state NOT IN ('complete', 'verified')
ORDER BY d.name, h.number;
