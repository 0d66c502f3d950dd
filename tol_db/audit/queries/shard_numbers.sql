-- title: Shard numbers and file names are dense
-- answers: Do the numbers of a dataset's shards, and their ordinals within each split, run from 0 without a gap?
-- row: a shard whose number or ordinal is not the one expected
-- empty: must
-- invariant: yes

SELECT dataset, split, what, found, expected
FROM (
    SELECT d.name AS dataset, p.name AS split, 'number' AS what, h.number AS found,
           row_number() OVER (PARTITION BY h.dataset_id ORDER BY h.number) - 1 AS expected
    FROM shard h JOIN dataset d ON d.id = h.dataset_id JOIN split p ON p.id = h.split_id
    UNION ALL
    SELECT d.name, p.name, 'ordinal', h.ordinal,
           row_number() OVER (PARTITION BY h.dataset_id, h.split_id ORDER BY h.ordinal) - 1
    FROM shard h JOIN dataset d ON d.id = h.dataset_id JOIN split p ON p.id = h.split_id
)
WHERE found <> expected;
