-- title: Shards and exclusions belong to splits of their dataset
-- answers: Does anything of a dataset refer to a split, unit or attempt that is not the dataset's?
-- row: a shard or a group of exclusions, and what it refers to wrongly
-- empty: must
-- invariant: yes

SELECT d.name AS dataset, 'shard ' || h.number AS what, 'split ' || p.name || ' is not of the dataset' AS fault
FROM shard h
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
WHERE NOT EXISTS (
    SELECT 1 FROM dataset_split t WHERE t.dataset_id = h.dataset_id AND t.split_id = h.split_id
)
UNION ALL
SELECT d.name, 'shard ' || h.number, 'work unit ' || u.id || ' is of another dataset'
FROM shard h
JOIN dataset d ON d.id = h.dataset_id
JOIN work_unit u ON u.id = h.work_unit_id
WHERE u.dataset_id <> h.dataset_id
UNION ALL
SELECT d.name, 'shard ' || h.number, 'attempt ' || a.token || ' is of another dataset'
FROM shard h
JOIN dataset d ON d.id = h.dataset_id
JOIN attempt a ON a.id = h.attempt_id
WHERE a.dataset_id <> h.dataset_id
UNION ALL
SELECT d.name, x.images || ' exclusions', 'split ' || p.name || ' is not of the dataset'
FROM (SELECT dataset_id, split_id, count(*) AS images FROM exclusion GROUP BY dataset_id, split_id) x
JOIN dataset d ON d.id = x.dataset_id
JOIN split p ON p.id = x.split_id
WHERE NOT EXISTS (
    SELECT 1 FROM dataset_split t WHERE t.dataset_id = x.dataset_id AND t.split_id = x.split_id
);
