-- title: Containers by state
-- answers: How many archives and folders of each source were scanned, and how many are damaged, missing or expected?
-- row: a state within a source and a kind of container
-- empty: may
-- invariant: no
-- when: no container is known

SELECT s.key AS source, c.kind, c.state, count(*) AS containers, sum(c.members) AS members, sum(c.bytes) AS bytes,
       max(c.detail) AS detail
FROM container c
JOIN source s ON s.id = c.source_id
GROUP BY s.id, c.kind, c.state
ORDER BY s.id, c.kind, c.state;
