-- title: Equal bytes under several ids
-- answers: Which images that were read are the same bytes?
-- row: a content, with how many images have it, and the first and the last of them
-- empty: may
-- invariant: no
-- when: no two images that were read are the same bytes
-- slow: some twenty seconds at ten million images, whose digests are sorted: an index of them would take 0.3 GB

SELECT lower(hex(n.content_digest)) AS content_digest, n.images, a.treeoflife_id AS first_id, b.treeoflife_id AS last_id
FROM (
    SELECT content_digest, count(DISTINCT image_id) AS images, min(image_id) AS first, max(image_id) AS last
    FROM shard_image WHERE content_digest IS NOT NULL
    GROUP BY content_digest HAVING min(image_id) <> max(image_id)
) AS n
JOIN v_image a ON a.image_id = n.first
JOIN v_image b ON b.image_id = n.last;
