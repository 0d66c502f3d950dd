-- title: Positions within a shard are dense
-- answers: Do the positions of each shard's images run from 0 without a gap?
-- row: a shard whose positions do not
-- empty: must
-- invariant: yes

SELECT d.name AS dataset, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, n.first, n.last, n.images
FROM (
    SELECT shard_id, min(position) AS first, max(position) AS last, count(*) AS images
    FROM shard_image GROUP BY shard_id
) AS n
JOIN shard h ON h.id = n.shard_id
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
WHERE n.first <> 0 OR n.last <> n.images - 1;
