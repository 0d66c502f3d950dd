-- title: The counters of a shard equal its images
-- answers: Do planned, written and left_out of each shard agree with the outcomes of its images?
-- row: a shard whose counters are wrong, with what was counted
-- empty: must
-- invariant: yes

SELECT d.name AS dataset, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, h.state,
       h.planned, coalesce(n.images, 0) AS images, h.written, coalesce(n.written, 0) AS images_written,
       h.left_out, coalesce(n.left_out, 0) AS images_left_out
FROM shard h
LEFT JOIN (
    -- the primary key's order: one pass without sorting
    SELECT shard_id, count(*) AS images, sum(outcome_id = 1) AS written, sum(outcome_id > 1) AS left_out
    FROM shard_image GROUP BY shard_id
) AS n ON n.shard_id = h.id
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
WHERE h.planned <> coalesce(n.images, 0)
   OR h.written <> coalesce(n.written, 0)
   OR h.left_out <> coalesce(n.left_out, 0);
