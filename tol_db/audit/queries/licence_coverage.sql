-- title: Licences by source
-- answers: Under which licences are the images of each source, and how many have none of their own?
-- row: a licence within a source; without a name: the images have no licence of their own
-- empty: may
-- invariant: no
-- when: there is no image

SELECT s.key AS source, l.name AS licence, l.link, n.images, s.licence AS licence_of_source
FROM (
    SELECT i.source_id, x.licence_id, count(*) AS images
    -- both lie in the order of the image
    FROM image i NOT INDEXED LEFT JOIN image_licence x ON x.image_id = i.id
    GROUP BY i.source_id, x.licence_id
) AS n
JOIN source s ON s.id = n.source_id
LEFT JOIN licence l ON l.id = n.licence_id
ORDER BY s.id, n.images DESC;
