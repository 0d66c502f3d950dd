-- title: No label is empty
-- answers: Has any label nothing at all to say, so that the common name of the catalog would be null?
-- row: a label without any rank
-- empty: must
-- invariant: no

SELECT id AS label_id, common_name, resolution
FROM label
WHERE trim(kingdom || phylum || class || "order" || family || genus || species) = '';
