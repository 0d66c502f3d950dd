-- title: What became of each container's images
-- answers: How many images of each archive or folder were written, left out when they were read or by the plan, and are pending?
-- row: a container (empty: none is known yet) within a dataset; an image in two splits counts twice
-- empty: may
-- invariant: no
-- when: nothing is planned

SELECT d.name AS dataset, s.key AS source, c.path AS container, c.kind, sum(n.written) AS written,
       sum(n.left_out) AS left_out, sum(n.excluded) AS excluded, sum(n.pending) AS pending
FROM (
    SELECT h.dataset_id, i.source_id, i.container_id, sum(m.outcome_id = 1) AS written, sum(m.outcome_id > 1) AS left_out,
           0 AS excluded, sum(m.outcome_id = 0) AS pending
    FROM shard_image m CROSS JOIN shard h ON h.id = m.shard_id CROSS JOIN image i ON i.id = m.image_id
    GROUP BY h.dataset_id, i.source_id, i.container_id
    UNION ALL
    SELECT x.dataset_id, i.source_id, i.container_id, 0, 0, count(*), 0
    FROM exclusion x CROSS JOIN image i ON i.id = x.image_id
    GROUP BY x.dataset_id, i.source_id, i.container_id
) AS n
JOIN dataset d ON d.id = n.dataset_id
JOIN source s ON s.id = n.source_id
LEFT JOIN container c ON c.id = n.container_id
GROUP BY n.dataset_id, n.source_id, n.container_id
ORDER BY d.name, s.id, c.path;
