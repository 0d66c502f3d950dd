-- title: Images in no split
-- answers: Which images has no split taken up?
-- row: an image
-- empty: may
-- invariant: no
-- when: the splits cover all images
-- slow: some ten seconds at ten million images, each of which is looked up in the splits

SELECT v.source, v.treeoflife_id, v.container, v.member AS file
FROM image i
JOIN v_image v ON v.image_id = i.id
WHERE NOT EXISTS (
    -- a split that was drawn from another need not be asked: what it holds is in the other
    SELECT 1 FROM split s
    CROSS JOIN split_member m ON m.split_id = s.id AND m.image_id = i.id
    WHERE s.parent_id IS NULL
);
