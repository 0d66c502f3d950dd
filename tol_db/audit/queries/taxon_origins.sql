-- title: What an assembly says of source taxa is of its inputs, and each stands for one taxon
-- answers: Does an assembled taxonomy refer to taxa that it was not made of, or give one of them to two of its taxa?
-- row: a source taxon, named by taxon_provenance or taxon_decision, that is of no input, or twice in one assembled taxonomy
-- empty: must
-- invariant: yes

WITH span(taxonomy_id, first, last) AS (
    SELECT taxonomy_id, min(id), max(id) FROM taxon GROUP BY taxonomy_id
),
made_of(taxonomy_id, first, last) AS (
    SELECT i.taxonomy_id, s.first, s.last FROM taxonomy_input i JOIN span s ON s.taxonomy_id = i.input_id
    WHERE i.role <> 'previous'
),
found(taxonomy_id, source_taxon_id, fault) AS (
    SELECT s.taxonomy_id, p.source_taxon_id, 'stands for a taxon, and is of no input'
    FROM span s
    CROSS JOIN taxon_provenance p ON p.taxon_id BETWEEN s.first AND s.last
    WHERE NOT EXISTS (
        SELECT 1 FROM made_of m
        WHERE m.taxonomy_id = s.taxonomy_id AND p.source_taxon_id BETWEEN m.first AND m.last
    )
    UNION ALL
    SELECT d.taxonomy_id, d.source_taxon_id, 'was decided on, and is of no input'
    FROM taxon_decision d
    WHERE NOT EXISTS (
        SELECT 1 FROM made_of m
        WHERE m.taxonomy_id = d.taxonomy_id AND d.source_taxon_id BETWEEN m.first AND m.last
    )
    UNION ALL
    -- the index of source taxa gives them in order; only what several assemblies have is looked at closely
    SELECT t.taxonomy_id, p.source_taxon_id, 'stands for ' || count(*) || ' taxa'
    FROM (SELECT source_taxon_id FROM taxon_provenance GROUP BY source_taxon_id HAVING count(*) > 1) AS often
    CROSS JOIN taxon_provenance p ON p.source_taxon_id = often.source_taxon_id
    CROSS JOIN taxon t ON t.id = p.taxon_id
    GROUP BY p.source_taxon_id, t.taxonomy_id
    HAVING count(*) > 1
)
SELECT y.name AS taxonomy, y.version, o.name || ':' || s.source_key AS source_taxon, s.scientific_name, f.fault
FROM found f
CROSS JOIN taxonomy y ON y.id = f.taxonomy_id
LEFT JOIN taxon s ON s.id = f.source_taxon_id
LEFT JOIN taxonomy o ON o.id = s.taxonomy_id;
