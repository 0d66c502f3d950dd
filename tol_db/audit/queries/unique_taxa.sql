-- title: Distinct taxa by source
-- answers: How many different seven-rank tuples do the images of each source have, and those of all sources together?
-- row: a source, or all of them
-- empty: may
-- invariant: no
-- when: no image has a label
-- slow: some ten seconds at ten million images, whose label ids are sorted: an index of them would take 0.1 GB, and every ingest longer

WITH
    used(source_id, label_id) AS (
        SELECT DISTINCT source_id, label_id FROM image WHERE label_id IS NOT NULL
    ),
    -- labels that differ only in the common name, or in how they came, are one taxon
    taxon_of(source_id, kingdom, phylum, class, "order", family, genus, species) AS (
        SELECT DISTINCT u.source_id, l.kingdom, l.phylum, l.class, l."order", l.family, l.genus, l.species
        FROM used u CROSS JOIN label l ON l.id = u.label_id
    )
SELECT source, taxa, with_species
FROM (
    SELECT t.source_id AS ordinal, s.key AS source, count(*) AS taxa, sum(t.species <> '') AS with_species
    FROM taxon_of t JOIN source s ON s.id = t.source_id GROUP BY t.source_id
    UNION ALL
    SELECT NULL, 'all', count(*), sum(species <> '')
    FROM (SELECT DISTINCT kingdom, phylum, class, "order", family, genus, species FROM taxon_of)
    HAVING count(*) > 0
)
ORDER BY ordinal IS NULL, ordinal;
