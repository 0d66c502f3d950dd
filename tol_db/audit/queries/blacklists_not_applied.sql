-- title: Blacklists that a dataset does not apply
-- answers: Which blacklists were left aside by a plan, or came after it?
-- row: a blacklist and a dataset
-- empty: may
-- invariant: no
-- when: each dataset applies all blacklists, and none came later

SELECT d.name AS dataset, b.name AS blacklist,
       CASE WHEN d.blacklist_policy = 'all' THEN 'came after the plan' ELSE 'left aside by the plan' END AS why,
       (SELECT count(*) FROM blacklist_entry e WHERE e.blacklist_id = b.id) AS entries
FROM dataset d
JOIN blacklist b
WHERE NOT EXISTS (SELECT 1 FROM dataset_blacklist l WHERE l.dataset_id = d.id AND l.blacklist_id = b.id)
ORDER BY d.name, b.name;
