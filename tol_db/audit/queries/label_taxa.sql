-- title: Labels point to taxa of the taxonomy that gave them
-- answers: Does any label, or what was made of one, point to a taxon of another taxonomy?
-- row: a label whose taxon is of a taxonomy that resolved no label, or that a taxonomy gives a taxon of another one
-- empty: must
-- invariant: yes

SELECT l.id AS label_id, l.genus, l.species, y.name || '@' || y.version AS by_taxonomy,
       o.name || '@' || o.version AS taxonomy_of_taxon, t.source_key AS taxon, t.scientific_name
FROM label_resolution r
CROSS JOIN taxon t ON t.id = r.taxon_id
CROSS JOIN label l ON l.id = r.label_id
JOIN taxonomy y ON y.id = r.taxonomy_id
JOIN taxonomy o ON o.id = t.taxonomy_id
WHERE t.taxonomy_id <> r.taxonomy_id
UNION ALL
SELECT l.id, l.genus, l.species, NULL, o.name || '@' || o.version, t.source_key, t.scientific_name
FROM label l
CROSS JOIN taxon t ON t.id = l.taxon_id
JOIN taxonomy o ON o.id = t.taxonomy_id
WHERE NOT EXISTS (SELECT 1 FROM label_resolution r WHERE r.taxonomy_id = t.taxonomy_id);
