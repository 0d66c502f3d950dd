-- title: No label says "(unidentified)"
-- answers: Has any label a rank that says "(unidentified)", which EOL writes for nothing and reading a label takes away?
-- row: a label
-- empty: must
-- invariant: no

SELECT id AS label_id, kingdom, phylum, class, "order", family, genus, species, resolution
FROM label
WHERE lower(kingdom || '|' || phylum || '|' || class || '|' || "order" || '|' || family || '|' || genus || '|'
            || species) LIKE '%(unidentified)%';
