-- title: Kingdoms other than Animalia, Plantae and Fungi
-- answers: Which labels belong to a kingdom that is none of the three that TreeOfLife-10M is described with?
-- row: a kingdom, with how many labels have it
-- empty: may
-- invariant: no
-- when: the set is of animals, plants and fungi alone

SELECT kingdom, count(*) AS labels, count(DISTINCT phylum) AS phyla, min(id) AS first_label_id
FROM label
WHERE kingdom NOT IN ('', 'Animalia', 'Plantae', 'Fungi')
GROUP BY kingdom
ORDER BY labels DESC;
