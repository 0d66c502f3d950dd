-- title: The members of a scanned container are its images and its strays
-- answers: Is every member that the scan counted either an image's or listed as a stray?
-- row: a scanned container whose count is wrong
-- empty: must
-- invariant: yes

SELECT s.key AS source, c.path AS container, c.members,
       coalesce(f.images, 0) - coalesce(a.images, 0) AS images, coalesce(t.members, 0) AS strays
FROM container c
JOIN source s ON s.id = c.source_id
-- images found in a container = those that name it (ix_image_container_id alone) - those of them not found there:
-- grouping the found ones themselves would read the table in the order of the index
LEFT JOIN (
    SELECT container_id, count(*) AS images FROM image WHERE container_id IS NOT NULL GROUP BY container_id
) AS f ON f.container_id = c.id
LEFT JOIN (
    SELECT container_id, count(*) AS images FROM image NOT INDEXED
    WHERE member_index IS NULL AND container_id IS NOT NULL GROUP BY container_id
) AS a ON a.container_id = c.id
LEFT JOIN (
    SELECT container_id, count(*) AS members FROM stray_member GROUP BY container_id
) AS t ON t.container_id = c.id
WHERE c.state = 'scanned'
  AND c.members <> coalesce(f.images, 0) - coalesce(a.images, 0) + coalesce(t.members, 0);
