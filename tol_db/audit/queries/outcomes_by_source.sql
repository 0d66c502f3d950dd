-- title: Outcomes by source
-- answers: What became of the planned images of each source?
-- row: an outcome within a source of a dataset; an image in two splits counts twice
-- empty: may
-- invariant: no
-- when: nothing is planned

SELECT d.name AS dataset, s.key AS source, o.name AS outcome, n.images, o.meaning
FROM (
    SELECT h.dataset_id, json_extract(g.value, '$[0]') AS source_id, json_extract(g.value, '$[1]') AS outcome_id,
           sum(json_extract(g.value, '$[2]')) AS images
    -- counted shard by shard, each as a small array: a GROUP BY over all of them would sort ten million rows, and
    -- takes three times as long
    FROM shard h
    CROSS JOIN json_each((
        SELECT json_group_array(json_array(source_id, outcome_id, images))
        FROM (
            SELECT i.source_id, m.outcome_id, count(*) AS images
            FROM shard_image m CROSS JOIN image i ON i.id = m.image_id
            WHERE m.shard_id = h.id GROUP BY i.source_id, m.outcome_id
        )
    )) AS g
    GROUP BY 1, 2, 3
) AS n
JOIN dataset d ON d.id = n.dataset_id
JOIN source s ON s.id = n.source_id
JOIN outcome o ON o.id = n.outcome_id
ORDER BY d.name, s.id, o.id;
