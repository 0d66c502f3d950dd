-- title: Work units cover the shards, in order and exactly
-- answers: Does every work unit hold the shards of its range and no other, and follow the unit before it?
-- row: a work unit or a shard that does not fit
-- empty: must
-- invariant: yes

SELECT d.name AS dataset, u.number AS unit, 'its shards are not ' || u.first_shard || ' to ' || u.last_shard AS fault
FROM work_unit u
JOIN dataset d ON d.id = u.dataset_id
LEFT JOIN (
    SELECT work_unit_id, min(number) AS first, max(number) AS last, count(*) AS shards
    FROM shard GROUP BY work_unit_id
) AS h ON h.work_unit_id = u.id
WHERE h.shards IS NULL OR h.first <> u.first_shard OR h.last <> u.last_shard
   OR h.shards <> u.last_shard - u.first_shard + 1
UNION ALL
SELECT d.name, f.number, 'it begins at shard ' || f.first_shard || ', not at ' || f.expected
FROM (
    SELECT dataset_id, number, first_shard,
           coalesce(lag(last_shard) OVER (PARTITION BY dataset_id ORDER BY number) + 1, 0) AS expected
    FROM work_unit
) AS f
JOIN dataset d ON d.id = f.dataset_id
WHERE f.first_shard <> f.expected
UNION ALL
SELECT d.name, f.number, 'its number is not ' || f.expected
FROM (
    SELECT dataset_id, number, row_number() OVER (PARTITION BY dataset_id ORDER BY number) - 1 AS expected
    FROM work_unit
) AS f
JOIN dataset d ON d.id = f.dataset_id
WHERE f.number <> f.expected;
