-- title: Every taxonomy is a tree in one piece
-- answers: Are the taxa of each taxonomy stored together, under parents of their own, and in an assembled one parents first?
-- row: a taxonomy whose ids have gaps, or a taxon whose parent is of another taxonomy or comes after it (so no circle can close)
-- empty: must
-- invariant: yes

WITH span(taxonomy_id, first, last, taxa) AS (
    SELECT taxonomy_id, min(id), max(id), count(*) FROM taxon GROUP BY taxonomy_id
)
SELECT y.name AS taxonomy, y.version, NULL AS taxon, NULL AS scientific_name,
       s.taxa || ' taxa have ids from ' || s.first || ' to ' || s.last AS fault
FROM span s
JOIN taxonomy y ON y.id = s.taxonomy_id
WHERE s.last - s.first + 1 <> s.taxa
UNION ALL
SELECT y.name, y.version, t.source_key, t.scientific_name,
       CASE WHEN t.parent_id BETWEEN s.first AND s.last THEN 'its parent comes after it'
            ELSE 'its parent is of another taxonomy' END
FROM span s
CROSS JOIN taxonomy y ON y.id = s.taxonomy_id
CROSS JOIN taxon t ON t.id BETWEEN s.first AND s.last
WHERE t.parent_id NOT BETWEEN s.first AND CASE y.kind WHEN 'assembled' THEN t.id - 1 ELSE s.last END;
