-- title: A complete shard is fully recorded
-- answers: Has every complete or verified shard its size, sha256 and counts, and no image that is still pending?
-- row: a complete or verified shard and what is wrong with it
-- empty: must
-- invariant: yes

SELECT d.name AS dataset, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, h.state,
       rtrim(
           CASE WHEN h.bytes IS NULL OR h.bytes <= 0 THEN 'no bytes, ' ELSE '' END
           || CASE WHEN h.sha256 IS NULL OR length(h.sha256) <> 32 THEN 'no sha256, ' ELSE '' END
           || CASE WHEN h.completed_at IS NULL THEN 'no time of completion, ' ELSE '' END
           || CASE WHEN h.written + h.left_out <> h.planned THEN 'written and left out are not all planned, ' ELSE '' END
           || CASE WHEN n.pending > 0 THEN n.pending || ' images pending, ' ELSE '' END,
           ', ') AS fault
FROM shard h
LEFT JOIN (
    SELECT shard_id, sum(outcome_id = 0) AS pending FROM shard_image GROUP BY shard_id
) AS n ON n.shard_id = h.id
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
WHERE h.state IN ('complete', 'verified')
  AND (h.bytes IS NULL OR h.bytes <= 0 OR h.sha256 IS NULL OR length(h.sha256) <> 32 OR h.completed_at IS NULL
       OR h.written + h.left_out <> h.planned OR n.pending > 0);
