-- title: Kingdoms by source
-- answers: Which kingdoms do the images of each source belong to, and is each one of Animalia, Plantae and Fungi?
-- row: a kingdom (empty: none is named) within a source
-- empty: may
-- invariant: no
-- when: no image has a label
-- slow: some ten seconds at ten million images, whose label ids are sorted: an index of them would take 0.1 GB, and every ingest longer

SELECT s.key AS source, l.kingdom,
       CASE WHEN l.kingdom IN ('Animalia', 'Plantae', 'Fungi') THEN 'yes' ELSE 'no' END AS one_of_three,
       sum(n.images) AS images, count(*) AS labels
FROM (
    SELECT source_id, label_id, count(*) AS images FROM image
    WHERE label_id IS NOT NULL GROUP BY source_id, label_id
) AS n
CROSS JOIN label l ON l.id = n.label_id
CROSS JOIN source s ON s.id = n.source_id
GROUP BY n.source_id, l.kingdom
ORDER BY n.source_id, images DESC;
