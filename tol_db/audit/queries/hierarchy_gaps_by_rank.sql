-- title: Images with a hole in their hierarchy, by rank
-- answers: How many images of each source have a genus (or no genus, but a family; or neither, but an order) and lack a rank above, or have a species and no genus?
-- row: a rank that is known and one above it that is missing, within a source
-- empty: may
-- invariant: no
-- when: no label has a hole in its hierarchy
-- slow: some ten seconds at ten million images, whose label ids are sorted: an index of them would take 0.1 GB, and every ingest longer

WITH
    counted(source_id, label_id, images) AS (
        SELECT source_id, label_id, count(*) FROM image WHERE label_id IS NOT NULL GROUP BY source_id, label_id
    ),
    above(depth, rank) AS (
        VALUES (1, 'kingdom'), (2, 'phylum'), (3, 'class'), (4, 'order'), (5, 'family'), (6, 'genus')
    )
SELECT s.key AS source, g.known, a.rank AS missing, sum(g.images) AS images, count(*) AS labels
FROM (
    SELECT n.source_id, n.images, l.kingdom, l.phylum, l.class, l."order", l.family, l.genus,
           CASE WHEN l.genus <> '' THEN 'genus' WHEN l.species <> '' THEN 'species' WHEN l.family <> ''
                THEN 'family' WHEN l."order" <> '' THEN 'order' WHEN l.class <> '' THEN 'class' ELSE 'phylum' END AS known,
           CASE WHEN l.genus <> '' THEN 6 WHEN l.species <> '' THEN 7 WHEN l.family <> '' THEN 5
                WHEN l."order" <> '' THEN 4 WHEN l.class <> '' THEN 3 WHEN l.phylum <> '' THEN 2 ELSE 1 END AS depth
    FROM counted n CROSS JOIN label l ON l.id = n.label_id
) AS g
CROSS JOIN above a ON a.depth < g.depth
CROSS JOIN source s ON s.id = g.source_id
WHERE CASE a.depth WHEN 1 THEN g.kingdom WHEN 2 THEN g.phylum WHEN 3 THEN g.class WHEN 4 THEN g."order"
                   WHEN 5 THEN g.family ELSE g.genus END = ''
GROUP BY g.source_id, g.depth, a.depth
ORDER BY g.source_id, g.depth DESC, a.depth;
