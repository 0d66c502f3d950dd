-- title: A split and the one it is the complement of share no image
-- answers: Is any image in two splits that are to be disjoint?
-- row: an image in both splits
-- empty: must
-- invariant: yes

SELECT s.name AS split, h.name AS complement_of, v.treeoflife_id
FROM split s
JOIN split h ON h.id = s.complement_of_id
-- the one that is complemented is the smaller as a rule, so its members are looked up in the other
CROSS JOIN split_member held ON held.split_id = s.complement_of_id
CROSS JOIN split_member m ON m.split_id = s.id AND m.image_id = held.image_id
JOIN v_image v ON v.image_id = m.image_id;
