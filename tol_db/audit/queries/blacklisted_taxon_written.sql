-- title: No image of a species that a blacklist names is written
-- answers: Has any image been written whose label names a species of a blacklist that binds the dataset today?
-- row: an image in a shard, its label as written, and the entry that names the species
-- empty: must
-- invariant: yes

SELECT d.name AS dataset, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, m.position, v.treeoflife_id,
       t.genus, t.species, b.name AS blacklist, e.value AS entry
-- one pass over shard_image in its own order, with a look into a small set; LIMIT -1 keeps it a query of its own,
-- merged with the outer one it would be read in the order of an index
FROM (
    SELECT shard_id, position, image_id, label_id FROM shard_image
    WHERE outcome_id = 1 AND label_id IN (SELECT label_id FROM v_blacklisted_label)
    LIMIT -1
) AS m
CROSS JOIN shard h ON h.id = m.shard_id
CROSS JOIN v_dataset_blacklist l ON l.dataset_id = h.dataset_id
-- the view is a union: merged with the outer query it would have all of this done once for each of its parts
CROSS JOIN (SELECT blacklist_id, entry_id, label_id FROM v_blacklisted_label LIMIT -1) AS x
    ON x.label_id = m.label_id AND x.blacklist_id = l.blacklist_id
JOIN label t ON t.id = m.label_id
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
JOIN blacklist b ON b.id = x.blacklist_id
JOIN blacklist_entry e ON e.id = x.entry_id
JOIN v_image v ON v.image_id = m.image_id;
