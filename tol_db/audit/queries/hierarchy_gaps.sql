-- title: Labels with a hole in their hierarchy
-- answers: Which labels lack a rank above the lowest one that they name?
-- row: a label, its lowest rank, and the ranks that are missing above
-- empty: may
-- invariant: no
-- when: every label names all ranks down to its lowest

SELECT label_id, lowest, rtrim(
           CASE WHEN kingdom = '' THEN 'kingdom, ' ELSE '' END
           || CASE WHEN phylum = '' AND depth > 2 THEN 'phylum, ' ELSE '' END
           || CASE WHEN class = '' AND depth > 3 THEN 'class, ' ELSE '' END
           || CASE WHEN "order" = '' AND depth > 4 THEN 'order, ' ELSE '' END
           || CASE WHEN family = '' AND depth > 5 THEN 'family, ' ELSE '' END
           || CASE WHEN genus = '' AND depth > 6 THEN 'genus, ' ELSE '' END,
           ', ') AS missing,
       kingdom, phylum, class, "order", family, genus, species, resolution
FROM (
    SELECT id AS label_id, kingdom, phylum, class, "order", family, genus, species, resolution,
           CASE WHEN species <> '' THEN 'species' WHEN genus <> '' THEN 'genus' WHEN family <> '' THEN 'family'
                WHEN "order" <> '' THEN 'order' WHEN class <> '' THEN 'class' WHEN phylum <> '' THEN 'phylum'
                ELSE 'kingdom' END AS lowest,
           CASE WHEN species <> '' THEN 7 WHEN genus <> '' THEN 6 WHEN family <> '' THEN 5
                WHEN "order" <> '' THEN 4 WHEN class <> '' THEN 3 WHEN phylum <> '' THEN 2 ELSE 1 END AS depth
    FROM label
)
WHERE depth > (kingdom <> '') + (phylum <> '') + (class <> '') + ("order" <> '') + (family <> '') + (genus <> '')
              + (species <> '');
