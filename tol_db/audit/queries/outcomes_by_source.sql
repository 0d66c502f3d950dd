-- title: Outcomes by source
-- answers: What became of the planned images of each source?
-- row: an outcome within a source of a dataset; an image in two splits counts twice
-- empty: may
-- invariant: no
-- when: nothing is planned

SELECT d.name AS dataset, s.key AS source, o.name AS outcome, n.images, o.meaning
FROM (
    SELECT h.dataset_id, i.source_id, m.outcome_id, count(*) AS images
    FROM shard_image m
    CROSS JOIN shard h ON h.id = m.shard_id
    CROSS JOIN image i ON i.id = m.image_id
    GROUP BY h.dataset_id, i.source_id, m.outcome_id
) AS n
JOIN dataset d ON d.id = n.dataset_id
JOIN source s ON s.id = n.source_id
JOIN outcome o ON o.id = n.outcome_id
ORDER BY d.name, s.id, o.id;
