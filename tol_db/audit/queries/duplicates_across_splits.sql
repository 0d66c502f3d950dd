-- title: Equal bytes in several splits
-- answers: Which pictures stand under different ids in two splits of a dataset, neither of which was drawn from the other?
-- row: a content in two splits, with how many images have it in each, and the first of them
-- empty: may
-- invariant: no
-- when: no picture is in two splits under different ids
-- slow: some twenty seconds at ten million images, whose digests are sorted: an index of them would take 0.3 GB

WITH RECURSIVE
    line(split_id, ancestor_id) AS (
        SELECT id, id FROM split
        UNION
        SELECT l.split_id, s.parent_id FROM line l JOIN split s ON s.id = l.ancestor_id WHERE s.parent_id IS NOT NULL
    ),
    -- as in duplicates_within_split
    placed AS (
        SELECT h.dataset_id, h.split_id, m.image_id, m.content_digest
        FROM (
            SELECT shard_id, image_id, content_digest FROM shard_image
            WHERE content_digest IN (
                SELECT content_digest FROM shard_image WHERE content_digest IS NOT NULL
                GROUP BY content_digest HAVING min(image_id) <> max(image_id)
            )
            LIMIT -1
        ) AS m
        CROSS JOIN shard h ON h.id = m.shard_id
    )
SELECT d.name AS dataset, p.name AS split, q.name AS other_split, lower(hex(n.content_digest)) AS content_digest,
       n.images, n.other_images, v.treeoflife_id AS first_id, w.treeoflife_id AS other_first_id
FROM (
    SELECT a.dataset_id, a.split_id, b.split_id AS other_id, a.content_digest,
           count(DISTINCT a.image_id) AS images, count(DISTINCT b.image_id) AS other_images,
           min(a.image_id) AS first, min(b.image_id) AS other_first
    FROM placed a
    JOIN placed b ON b.content_digest = a.content_digest AND b.dataset_id = a.dataset_id
                 AND b.split_id > a.split_id AND b.image_id <> a.image_id
    WHERE NOT EXISTS (SELECT 1 FROM line l WHERE l.split_id = a.split_id AND l.ancestor_id = b.split_id)
      AND NOT EXISTS (SELECT 1 FROM line l WHERE l.split_id = b.split_id AND l.ancestor_id = a.split_id)
    GROUP BY a.dataset_id, a.split_id, b.split_id, a.content_digest
) AS n
JOIN dataset d ON d.id = n.dataset_id
JOIN split p ON p.id = n.split_id
JOIN split q ON q.id = n.other_id
JOIN v_image v ON v.image_id = n.first
JOIN v_image w ON w.image_id = n.other_first
ORDER BY d.name, p.name, q.name, n.images + n.other_images DESC;
