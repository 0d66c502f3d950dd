-- title: The counters of a split equal those of its shards and exclusions
-- answers: Do the counters of each split of a dataset agree with its shards and with the rows of exclusion?
-- row: a split of a dataset and a counter of it that is wrong
-- empty: must
-- invariant: yes

WITH counted AS (
    SELECT t.dataset_id, t.split_id, t.members, t.planned, t.excluded, t.written, t.left_out,
           (SELECT coalesce(sum(h.planned), 0) FROM shard h
            WHERE h.dataset_id = t.dataset_id AND h.split_id = t.split_id) AS shards_planned,
           (SELECT coalesce(sum(h.written), 0) FROM shard h
            WHERE h.dataset_id = t.dataset_id AND h.split_id = t.split_id) AS shards_written,
           (SELECT coalesce(sum(h.left_out), 0) FROM shard h
            WHERE h.dataset_id = t.dataset_id AND h.split_id = t.split_id) AS shards_left_out,
           (SELECT count(*) FROM exclusion x
            WHERE x.dataset_id = t.dataset_id AND x.split_id = t.split_id) AS exclusions
    FROM dataset_split t
)
SELECT d.name AS dataset, p.name AS split, wrong.counter, wrong.stored, wrong.counted
FROM (
    SELECT dataset_id, split_id, 'planned' AS counter, planned AS stored, shards_planned AS counted FROM counted
    UNION ALL
    SELECT dataset_id, split_id, 'written', written, shards_written FROM counted
    UNION ALL
    SELECT dataset_id, split_id, 'left_out', left_out, shards_left_out FROM counted
    UNION ALL
    SELECT dataset_id, split_id, 'excluded', excluded, exclusions FROM counted
    UNION ALL
    SELECT dataset_id, split_id, 'members', members, planned + excluded FROM counted
) AS wrong
JOIN dataset d ON d.id = wrong.dataset_id
JOIN split p ON p.id = wrong.split_id
WHERE wrong.stored <> wrong.counted;
