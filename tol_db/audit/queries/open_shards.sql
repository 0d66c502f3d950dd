-- title: A shard that is to be written has nothing written
-- answers: Are all images of each planned, bad, missing or stale shard pending, and its counters 0?
-- row: a planned, bad, missing or stale shard that has outcomes or counts
-- empty: must
-- invariant: yes

SELECT d.name AS dataset, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, h.state, h.written, h.left_out, n.images AS images_decided
FROM shard h
JOIN (
    -- ix_shard_dataset_id_state finds these shards; only their images are read
    SELECT o.id, (SELECT count(*) FROM shard_image m WHERE m.shard_id = o.id AND m.outcome_id <> 0) AS images
    FROM shard o WHERE o.state IN ('planned', 'bad', 'missing', 'stale')
) AS n ON n.id = h.id
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
WHERE h.written <> 0 OR h.left_out <> 0 OR n.images <> 0;
