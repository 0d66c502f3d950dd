-- title: Files without an image
-- answers: Which members of the scanned containers does no image claim, and why?
-- row: a file
-- empty: may
-- invariant: no
-- when: every member of the scanned containers is an image of the database

SELECT s.key AS source, c.path AS container, t.member AS file, t.bytes, t.reason
FROM stray_member t
JOIN container c ON c.id = t.container_id
JOIN source s ON s.id = c.source_id;
