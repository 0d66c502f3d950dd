-- title: No published file that a blacklist names is written under another id
-- answers: Has any image been written whose published md5 is that of an image that a binding blacklist names, by id or by species?
-- row: an image in a shard, and the image of the same md5 that the blacklist names
-- empty: must
-- invariant: no

WITH listed(blacklist_id, image_id, md5) AS (
    SELECT x.blacklist_id, i.image_id, i.md5
    FROM v_blacklisted_image x CROSS JOIN image_licence i ON i.image_id = x.image_id
    WHERE i.md5 IS NOT NULL
    UNION
    SELECT y.blacklist_id, i.image_id, i.md5
    FROM (
        SELECT id, label_id FROM image WHERE label_id IN (SELECT label_id FROM v_blacklisted_label) LIMIT -1
    ) AS m
    CROSS JOIN (SELECT blacklist_id, label_id FROM v_blacklisted_label LIMIT -1) AS y ON y.label_id = m.label_id
    CROSS JOIN image_licence i ON i.image_id = m.id AND i.md5 IS NOT NULL
)
SELECT d.name AS dataset, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, m.position, v.treeoflife_id,
       b.name AS blacklist, w.treeoflife_id AS listed_id, lower(hex(same.md5)) AS md5
FROM (SELECT image_id, md5 FROM image_licence WHERE md5 IN (SELECT md5 FROM listed) LIMIT -1) AS same
CROSS JOIN listed x ON x.md5 = same.md5 AND x.image_id <> same.image_id
CROSS JOIN v_dataset_blacklist l ON l.blacklist_id = x.blacklist_id
CROSS JOIN shard_image m ON m.image_id = same.image_id AND m.outcome_id = 1
CROSS JOIN shard h ON h.id = m.shard_id AND h.dataset_id = l.dataset_id
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
JOIN blacklist b ON b.id = x.blacklist_id
JOIN v_image v ON v.image_id = m.image_id
JOIN v_image w ON w.image_id = x.image_id;
