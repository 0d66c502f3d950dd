-- title: Shards that would be planned otherwise today
-- answers: Which shards hold images that have another label or no file today, or that a blacklist or the choice of licences of the dataset keeps out today?
-- row: a shard, with how many of its images changed
-- empty: may
-- invariant: no
-- when: no label, file or blacklist has changed since the plan

SELECT d.name AS dataset, p.name AS split, printf('shard-%06d.tar', h.ordinal) AS file, h.state,
       sum(n.relabelled) AS relabelled, sum(n.without_file) AS without_file,
       sum(n.blacklisted) AS blacklisted, sum(n.refused_licence) AS refused_licence
FROM (
    -- one pass over shard_image and image for both questions that need it
    SELECT m.shard_id, m.relabelled, m.without_file, EXISTS (
               SELECT 1 FROM shard g
               CROSS JOIN v_dataset_blacklist l ON l.dataset_id = g.dataset_id
               CROSS JOIN v_blacklisted_label x ON x.label_id = m.label_id AND x.blacklist_id = l.blacklist_id
               WHERE g.id = m.shard_id
           ) AS blacklisted, 0 AS refused_licence
    FROM (
        SELECT m.shard_id, m.label_id, i.label_id IS NOT m.label_id AS relabelled,
               i.member_index IS NULL AS without_file
        FROM shard_image m CROSS JOIN image i ON i.id = m.image_id
        WHERE i.label_id IS NOT m.label_id
           OR i.member_index IS NULL
           OR m.outcome_id < 2 AND m.label_id IN (SELECT label_id FROM v_blacklisted_label)
    ) AS m
    UNION ALL
    SELECT m.shard_id, 0, 0, 1, 0
    FROM v_blacklisted_image x
    CROSS JOIN v_dataset_blacklist l ON l.blacklist_id = x.blacklist_id
    CROSS JOIN shard_image m ON m.image_id = x.image_id AND m.outcome_id < 2
    CROSS JOIN shard g ON g.id = m.shard_id AND g.dataset_id = l.dataset_id
    UNION ALL
    -- only datasets that were planned with --license are read
    SELECT m.shard_id, 0, 0, 0, 1
    FROM (SELECT DISTINCT dataset_id FROM dataset_licence) f
    CROSS JOIN shard g ON g.dataset_id = f.dataset_id
    CROSS JOIN shard_image m ON m.shard_id = g.id AND m.outcome_id < 2
    CROSS JOIN image i ON i.id = m.image_id
    LEFT JOIN image_licence x ON x.image_id = m.image_id
    WHERE NOT EXISTS (
        SELECT 1 FROM v_dataset_licence a
        WHERE a.dataset_id = f.dataset_id
          AND CASE WHEN x.licence_id IS NULL THEN a.source_id = i.source_id ELSE a.licence_id = x.licence_id END
    )
) AS n
JOIN shard h ON h.id = n.shard_id
JOIN dataset d ON d.id = h.dataset_id
JOIN split p ON p.id = h.split_id
GROUP BY h.id
HAVING sum(n.relabelled) + sum(n.without_file) + sum(n.blacklisted) + sum(n.refused_licence) > 0
ORDER BY d.name, h.number;
