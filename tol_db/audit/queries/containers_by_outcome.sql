-- title: What became of each container's images
-- answers: How many images of each archive or folder were written, left out when they were read or by the plan, and are pending?
-- row: a container (empty: none is known yet) within a dataset; an image in two splits counts twice
-- empty: may
-- invariant: no
-- when: nothing is planned

SELECT d.name AS dataset, s.key AS source, c.path AS container, c.kind, sum(n.written) AS written,
       sum(n.left_out) AS left_out, sum(n.excluded) AS excluded, sum(n.pending) AS pending
FROM (
    SELECT h.dataset_id, json_extract(g.value, '$[0]') AS source_id, json_extract(g.value, '$[1]') AS container_id,
           json_extract(g.value, '$[2]') AS written, json_extract(g.value, '$[3]') AS left_out, 0 AS excluded,
           json_extract(g.value, '$[4]') AS pending
    -- shard by shard, as in outcomes_by_source
    FROM shard h
    CROSS JOIN json_each((
        SELECT json_group_array(json_array(source_id, container_id, written, left_out, pending))
        FROM (
            SELECT i.source_id, i.container_id, sum(m.outcome_id = 1) AS written, sum(m.outcome_id > 1) AS left_out,
                   sum(m.outcome_id = 0) AS pending
            FROM shard_image m CROSS JOIN image i ON i.id = m.image_id
            WHERE m.shard_id = h.id GROUP BY i.source_id, i.container_id
        )
    )) AS g
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
