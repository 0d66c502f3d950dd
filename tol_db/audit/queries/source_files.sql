-- title: Files that were read
-- answers: Which files does the database come from?
-- row: a file
-- empty: may
-- invariant: no
-- when: nothing was ingested

SELECT f.kind, s.key AS source, f.root, f.path, f.bytes, f.rows_read AS "rows", f.read_at, f.outcome, f.detail,
       lower(hex(f.sha256)) AS sha256
FROM source_file f
LEFT JOIN source s ON s.id = f.source_id
ORDER BY f.read_at, f.id;
