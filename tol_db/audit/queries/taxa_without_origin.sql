-- title: Every assembled taxon stands for a taxon of a source
-- answers: Does any taxon of an assembled taxonomy come from nowhere?
-- row: a taxon of an assembled taxonomy without any row of taxon_provenance
-- empty: must
-- invariant: yes

WITH span(taxonomy_id, first, last) AS (
    SELECT taxonomy_id, min(id), max(id) FROM taxon GROUP BY taxonomy_id
)
SELECT y.name AS taxonomy, y.version, t.source_key AS taxon, t.scientific_name, t.rank
FROM taxonomy y
CROSS JOIN span s ON s.taxonomy_id = y.id
-- both tables lie in the order of these ids
CROSS JOIN taxon t ON t.id BETWEEN s.first AND s.last
LEFT JOIN taxon_provenance p ON p.taxon_id = t.id
WHERE y.kind = 'assembled' AND p.taxon_id IS NULL;
