-- title: No image stands twice in a split of a dataset
-- answers: Is any image planned into two places of the same split?
-- row: an image and a split of a dataset that holds it more than once
-- empty: must
-- invariant: yes

SELECT d.name AS dataset, p.name AS split, v.treeoflife_id, twice.places, twice.at
FROM (
    SELECT h.dataset_id, h.split_id, m.image_id, count(*) AS places,
           group_concat(printf('shard-%06d.tar:%d', h.ordinal, m.position), ' ') AS at
    -- ix_shard_image_image_id in its order; few images are in two places, and fewer in two of one split
    FROM (SELECT image_id FROM shard_image GROUP BY image_id HAVING count(*) > 1) AS again
    CROSS JOIN shard_image m ON m.image_id = again.image_id
    CROSS JOIN shard h ON h.id = m.shard_id
    GROUP BY m.image_id, h.dataset_id, h.split_id
    HAVING count(*) > 1
) AS twice
JOIN dataset d ON d.id = twice.dataset_id
JOIN split p ON p.id = twice.split_id
JOIN v_image v ON v.image_id = twice.image_id;
