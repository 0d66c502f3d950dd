-- title: Entries whose image has another page today
-- answers: Which entries name an image by its content id whose EOL page is not the one in the entry? They match all the same.
-- row: an entry and the image that it names
-- empty: may
-- invariant: no
-- when: EOL has merged or split no page of a listed image

SELECT b.name AS blacklist, e.value AS entry, e.page_id AS entry_page_id, x.page_id AS image_page_id, v.treeoflife_id
FROM blacklist_entry e
JOIN blacklist b ON b.id = e.blacklist_id
CROSS JOIN eol_image x ON x.content_id = e.content_id
JOIN v_image v ON v.image_id = x.image_id
WHERE e.kind = 'image' AND e.page_id IS NOT NULL AND e.page_id <> x.page_id;
