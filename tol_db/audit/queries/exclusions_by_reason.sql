-- title: What the plans left out
-- answers: How many images did each plan leave out of each split, and why?
-- row: a reason within a split of a dataset
-- empty: may
-- invariant: no
-- when: the plans left nothing out

SELECT d.name AS dataset, p.name AS split, o.name AS reason, x.images, o.meaning
FROM (
    SELECT dataset_id, split_id, outcome_id, count(*) AS images FROM exclusion GROUP BY dataset_id, split_id, outcome_id
) AS x
JOIN dataset d ON d.id = x.dataset_id
JOIN split p ON p.id = x.split_id
JOIN outcome o ON o.id = x.outcome_id
ORDER BY d.name, p.name, x.images DESC;
