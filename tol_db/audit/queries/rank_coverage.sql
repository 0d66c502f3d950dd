-- title: Rank coverage by source
-- answers: How many images of each source have a name at each rank, and at all seven?
-- row: a source
-- empty: may
-- invariant: no
-- when: there is no image
-- slow: some ten seconds at ten million images, whose label ids are sorted: an index of them would take 0.1 GB, and every ingest longer

SELECT s.key AS source, sum(n.images) AS images, sum(n.images * (l.id IS NOT NULL)) AS labelled,
       sum(n.images * coalesce(l.kingdom <> '', 0)) AS kingdom,
       sum(n.images * coalesce(l.phylum <> '', 0)) AS phylum,
       sum(n.images * coalesce(l.class <> '', 0)) AS class,
       sum(n.images * coalesce(l."order" <> '', 0)) AS "order",
       sum(n.images * coalesce(l.family <> '', 0)) AS family,
       sum(n.images * coalesce(l.genus <> '', 0)) AS genus,
       sum(n.images * coalesce(l.species <> '', 0)) AS species,
       sum(n.images * coalesce(l.kingdom <> '' AND l.phylum <> '' AND l.class <> '' AND l."order" <> ''
                               AND l.family <> '' AND l.genus <> '' AND l.species <> '', 0)) AS all_seven
-- images are counted by label first: half a million labels are looked up, not ten million
FROM (SELECT source_id, label_id, count(*) AS images FROM image GROUP BY source_id, label_id) AS n
CROSS JOIN source s ON s.id = n.source_id
LEFT JOIN label l ON l.id = n.label_id
GROUP BY n.source_id
ORDER BY n.source_id;
