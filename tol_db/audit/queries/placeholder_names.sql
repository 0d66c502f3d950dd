-- title: Names that say "not known"
-- answers: Which labels have a word for an unknown taxon where a name should stand?
-- row: such a word at a rank, with how many labels have it
-- empty: may
-- invariant: no
-- when: every rank holds a name or nothing

WITH
    word(name) AS (
        VALUES ('unidentified'), ('(unidentified)'), ('unknown'), ('unclassified'), ('not_classified'),
               ('not classified'), ('unassigned'), ('not assigned'), ('unplaced'), ('undetermined'),
               ('incertae sedis'), ('pleasehelp'), ('null'), ('none'), ('nan'), ('na'), ('n/a'), ('-'), ('?'),
               ('sp.'), ('sp'), ('spp.'), ('spp')
    ),
    named(rank, depth, name, label_id) AS (
        SELECT 'kingdom', 1, kingdom, id FROM label WHERE lower(trim(kingdom)) IN (SELECT name FROM word)
        UNION ALL
        SELECT 'phylum', 2, phylum, id FROM label WHERE lower(trim(phylum)) IN (SELECT name FROM word)
        UNION ALL
        SELECT 'class', 3, class, id FROM label WHERE lower(trim(class)) IN (SELECT name FROM word)
        UNION ALL
        SELECT 'order', 4, "order", id FROM label WHERE lower(trim("order")) IN (SELECT name FROM word)
        UNION ALL
        SELECT 'family', 5, family, id FROM label WHERE lower(trim(family)) IN (SELECT name FROM word)
        UNION ALL
        SELECT 'genus', 6, genus, id FROM label WHERE lower(trim(genus)) IN (SELECT name FROM word)
        UNION ALL
        SELECT 'species', 7, species, id FROM label WHERE lower(trim(species)) IN (SELECT name FROM word)
    )
SELECT rank, name, count(*) AS labels, min(label_id) AS first_label_id
FROM named
GROUP BY depth, name
ORDER BY depth, labels DESC;
