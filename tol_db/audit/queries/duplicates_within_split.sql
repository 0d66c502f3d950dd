-- title: Equal bytes within a split
-- answers: Which pictures stand under several ids in one split of a dataset?
-- row: a content within a split, with how many images have it, and the first and the last of them
-- empty: may
-- invariant: no
-- when: no two images of a split are the same bytes
-- slow: some twenty seconds at ten million images, whose digests are sorted: an index of them would take 0.3 GB

SELECT d.name AS dataset, p.name AS split, lower(hex(n.content_digest)) AS content_digest, n.images,
       a.treeoflife_id AS first_id, b.treeoflife_id AS last_id
FROM (
    SELECT h.dataset_id, h.split_id, m.content_digest, count(DISTINCT m.image_id) AS images,
           min(m.image_id) AS first, max(m.image_id) AS last
    -- shard_image is read twice, in its own order: for the digests that several images have, and for their places
    FROM (
        SELECT shard_id, image_id, content_digest FROM shard_image
        WHERE content_digest IN (
            SELECT content_digest FROM shard_image WHERE content_digest IS NOT NULL
            GROUP BY content_digest HAVING min(image_id) <> max(image_id)
        )
        LIMIT -1
    ) AS m
    CROSS JOIN shard h ON h.id = m.shard_id
    GROUP BY h.dataset_id, h.split_id, m.content_digest
    HAVING min(m.image_id) <> max(m.image_id)
) AS n
JOIN dataset d ON d.id = n.dataset_id
JOIN split p ON p.id = n.split_id
JOIN v_image a ON a.image_id = n.first
JOIN v_image b ON b.image_id = n.last
ORDER BY d.name, p.name, n.images DESC;
