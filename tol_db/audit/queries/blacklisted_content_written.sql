-- title: No picture that a blacklist names is written under another id
-- answers: Has any image been written whose bytes are those of an image that a binding blacklist names, by id or by species?
-- row: an image in a shard, and the image of the same bytes that the blacklist names
-- empty: must
-- invariant: no

-- only pictures that were read have a digest: an image that every plan left out is compared by its published md5,
-- in blacklisted_md5_written
WITH listed(blacklist_id, image_id, content_digest) AS (
    SELECT x.blacklist_id, m.image_id, m.content_digest
    FROM v_blacklisted_image x CROSS JOIN shard_image m ON m.image_id = x.image_id
    WHERE m.content_digest IS NOT NULL
    UNION
    SELECT y.blacklist_id, m.image_id, m.content_digest
    FROM (
        SELECT image_id, label_id, content_digest FROM shard_image
        WHERE content_digest IS NOT NULL AND label_id IN (SELECT label_id FROM v_blacklisted_label)
        LIMIT -1
    ) AS m
    CROSS JOIN (SELECT blacklist_id, label_id FROM v_blacklisted_label LIMIT -1) AS y ON y.label_id = m.label_id
)
SELECT d.name AS dataset, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, m.position, v.treeoflife_id,
       b.name AS blacklist, w.treeoflife_id AS listed_id, lower(hex(m.content_digest)) AS content_digest
FROM (
    SELECT shard_id, position, image_id, content_digest FROM shard_image
    WHERE outcome_id = 1 AND content_digest IN (SELECT content_digest FROM listed)
    LIMIT -1
) AS m
CROSS JOIN shard h ON h.id = m.shard_id
CROSS JOIN v_dataset_blacklist l ON l.dataset_id = h.dataset_id
CROSS JOIN listed x ON x.content_digest = m.content_digest AND x.blacklist_id = l.blacklist_id
                   AND x.image_id <> m.image_id
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
JOIN blacklist b ON b.id = x.blacklist_id
JOIN v_image v ON v.image_id = m.image_id
JOIN v_image w ON w.image_id = x.image_id;
