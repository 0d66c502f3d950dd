-- title: Pictures that could not be read, by container
-- answers: Which archives and folders have images that could not be decoded, were cut off, too large, of another format or too slow?
-- row: an outcome within a container of a dataset; an image in two splits counts twice
-- empty: may
-- invariant: no
-- when: every picture that was read could be written

SELECT d.name AS dataset, s.key AS source, c.path AS container, o.name AS outcome, n.images, n.example, c.members
FROM (
    SELECT h.dataset_id, i.container_id, m.outcome_id, count(*) AS images, min(m.detail) AS example
    FROM (
        -- one pass over shard_image; few are left
        SELECT shard_id, image_id, outcome_id, detail FROM shard_image WHERE outcome_id BETWEEN 7 AND 11 LIMIT -1
    ) AS m
    CROSS JOIN shard h ON h.id = m.shard_id
    CROSS JOIN image i ON i.id = m.image_id
    GROUP BY h.dataset_id, i.container_id, m.outcome_id
) AS n
JOIN dataset d ON d.id = n.dataset_id
JOIN outcome o ON o.id = n.outcome_id
JOIN container c ON c.id = n.container_id
JOIN source s ON s.id = c.source_id
ORDER BY n.images DESC, d.name, c.path;
