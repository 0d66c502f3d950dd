-- title: What the plans left out, by source
-- answers: How many images of each source did each plan leave out, and why?
-- row: a reason within a source of a dataset; an image that two splits left out counts twice
-- empty: may
-- invariant: no
-- when: the plans left nothing out

SELECT d.name AS dataset, s.key AS source, o.name AS reason, n.images, o.meaning
FROM (
    -- exclusion lies in the order of its images, so image is read forwards
    SELECT x.dataset_id, i.source_id, x.outcome_id, count(*) AS images
    FROM exclusion x CROSS JOIN image i ON i.id = x.image_id
    GROUP BY x.dataset_id, i.source_id, x.outcome_id
) AS n
JOIN dataset d ON d.id = n.dataset_id
JOIN source s ON s.id = n.source_id
JOIN outcome o ON o.id = n.outcome_id
ORDER BY d.name, s.id, n.images DESC;
