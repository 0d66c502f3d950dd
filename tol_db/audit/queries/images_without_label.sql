-- title: Images without a label
-- answers: Which images have no name, so that no plan takes them?
-- row: an image
-- empty: may
-- invariant: no
-- when: every image has a name

SELECT v.source, v.treeoflife_id, v.container, v.member AS file, v.eol_page_id
FROM v_image v
JOIN image i ON i.id = v.image_id
WHERE i.label_id IS NULL;
