-- title: No image that a blacklist names is written
-- answers: Has any image been written that is named by a blacklist that binds the dataset today?
-- row: an image in a shard and the entry that names it
-- empty: must
-- invariant: yes

SELECT d.name AS dataset, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, m.position, v.treeoflife_id,
       b.name AS blacklist, e.value AS entry
FROM v_blacklisted_image x
CROSS JOIN v_dataset_blacklist l ON l.blacklist_id = x.blacklist_id
CROSS JOIN shard_image m ON m.image_id = x.image_id AND m.outcome_id = 1
CROSS JOIN shard h ON h.id = m.shard_id AND h.dataset_id = l.dataset_id
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
JOIN blacklist b ON b.id = x.blacklist_id
JOIN blacklist_entry e ON e.id = x.entry_id
JOIN v_image v ON v.image_id = m.image_id;
