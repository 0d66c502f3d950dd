-- title: Species that sources place differently
-- answers: Which species have images of two sources whose labels contradict each other at a higher rank?
-- row: a species and two sources, with the highest rank at which they differ (a missing name contradicts nothing)
-- empty: may
-- invariant: no
-- when: all sources agree where they name the same species
-- slow: some ten seconds at ten million images, whose label ids are sorted: an index of them would take 0.1 GB, and every ingest longer

WITH
    used(source_id, label_id) AS (
        SELECT DISTINCT source_id, label_id FROM image WHERE label_id IS NOT NULL
    ),
    placed(source_id, kingdom, phylum, class, "order", family, genus, species) AS (
        SELECT DISTINCT u.source_id, l.kingdom, l.phylum, l.class, l."order", l.family, l.genus, l.species
        FROM used u CROSS JOIN label l ON l.id = u.label_id
        WHERE l.genus <> '' AND l.species <> ''
    )
SELECT genus, species, s.key AS source, o.key AS other_source, c.rank,
       CASE c.rank WHEN 'kingdom' THEN c.kingdom WHEN 'phylum' THEN c.phylum WHEN 'class' THEN c.class
                   WHEN 'order' THEN c."order" ELSE c.family END AS name,
       CASE c.rank WHEN 'kingdom' THEN c.kingdom2 WHEN 'phylum' THEN c.phylum2 WHEN 'class' THEN c.class2
                   WHEN 'order' THEN c.order2 ELSE c.family2 END AS other_name
FROM (
    SELECT a.source_id, b.source_id AS other_id, a.genus, a.species,
           a.kingdom, a.phylum, a.class, a."order", a.family, b.kingdom AS kingdom2, b.phylum AS phylum2,
           b.class AS class2, b."order" AS order2, b.family AS family2,
           CASE WHEN a.kingdom <> b.kingdom AND a.kingdom <> '' AND b.kingdom <> '' THEN 'kingdom'
                WHEN a.phylum <> b.phylum AND a.phylum <> '' AND b.phylum <> '' THEN 'phylum'
                WHEN a.class <> b.class AND a.class <> '' AND b.class <> '' THEN 'class'
                WHEN a."order" <> b."order" AND a."order" <> '' AND b."order" <> '' THEN 'order'
                WHEN a.family <> b.family AND a.family <> '' AND b.family <> '' THEN 'family' END AS rank
    FROM placed a JOIN placed b ON b.genus = a.genus AND b.species = a.species AND b.source_id > a.source_id
) AS c
JOIN source s ON s.id = c.source_id
JOIN source o ON o.id = c.other_id
WHERE c.rank IS NOT NULL
ORDER BY genus, species, c.source_id, c.other_id;
