-- title: Images without a common name
-- answers: How many images of each source have no common name, so that their captions say the scientific name, or all ranks, in its place?
-- row: what stands in its place, within a source
-- empty: may
-- invariant: no
-- when: every label has a common name
-- slow: some ten seconds at ten million images, whose label ids are sorted: an index of them would take 0.1 GB, and every ingest longer

SELECT s.key AS source, CASE WHEN l.genus || l.species <> '' THEN 'scientific name' ELSE 'all ranks' END AS instead,
       sum(n.images) AS images, count(*) AS labels
FROM (
    SELECT source_id, label_id, count(*) AS images FROM image
    WHERE label_id IS NOT NULL GROUP BY source_id, label_id
) AS n
CROSS JOIN label l ON l.id = n.label_id
CROSS JOIN source s ON s.id = n.source_id
WHERE l.common_name = ''
GROUP BY n.source_id, instead
ORDER BY n.source_id, images DESC;
