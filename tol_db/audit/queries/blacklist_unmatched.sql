-- title: Entries of blacklists that match nothing
-- answers: Which entries name no image and no label that the database has?
-- row: an entry
-- empty: may
-- invariant: no
-- when: every entry names an image or a label of this database

SELECT b.name AS blacklist, e.kind, e.value AS entry,
       CASE WHEN e.kind = 'image' AND e.content_id IS NULL AND e.treeoflife_id IS NULL THEN 'holds no id'
            WHEN e.kind = 'image' THEN 'no image has this id'
            ELSE 'no label has this genus and species' END AS why
FROM blacklist_entry e
JOIN blacklist b ON b.id = e.blacklist_id
WHERE e.id NOT IN (SELECT entry_id FROM v_blacklisted_image)
  AND e.id NOT IN (SELECT entry_id FROM v_blacklisted_label)
ORDER BY b.name, e.kind, e.value;
