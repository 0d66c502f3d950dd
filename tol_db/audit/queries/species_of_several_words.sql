-- title: Species of more than one word
-- answers: Which labels have several words where the epithet of a species stands: a hybrid, a subspecies, an author, or a whole binomial?
-- row: a label, and whether its species begins with its genus, or has none beside it
-- empty: may
-- invariant: no
-- when: every species is one word

SELECT id AS label_id, genus, species, length(trim(species)) - length(replace(trim(species), ' ', '')) + 1 AS words,
       CASE WHEN genus = '' THEN 'no genus'
            WHEN lower(species) LIKE lower(genus) || ' %' THEN 'begins with its genus' ELSE '' END AS remark,
       kingdom, family, resolution
FROM label
WHERE instr(trim(species), ' ') > 0;
