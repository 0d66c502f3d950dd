-- title: A split drawn from another lies within it
-- answers: Has any split a member that the split it was drawn from has not?
-- row: an image in the child that is not in the parent
-- empty: must
-- invariant: yes

SELECT s.name AS split, p.name AS parent, v.treeoflife_id
FROM split s
JOIN split p ON p.id = s.parent_id
CROSS JOIN split_member m ON m.split_id = s.id
JOIN v_image v ON v.image_id = m.image_id
WHERE NOT EXISTS (SELECT 1 FROM split_member o WHERE o.split_id = s.parent_id AND o.image_id = m.image_id);
