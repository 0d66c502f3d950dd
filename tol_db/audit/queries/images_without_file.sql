-- title: Images without a file
-- answers: Which images were found in no scanned container, and where should they be?
-- row: an image
-- empty: may
-- invariant: no
-- when: every image was found where it should be

SELECT v.source, v.treeoflife_id, v.container AS expected_in, c.state AS container_state, v.member AS file
FROM v_image v
JOIN image i ON i.id = v.image_id
LEFT JOIN container c ON c.id = i.container_id
WHERE i.member_index IS NULL;
