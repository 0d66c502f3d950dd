-- title: Work units by the time that they took
-- answers: Which work units took longest in their last try that ended, where did it run, and how fast was it?
-- row: a work unit that was tried, the slowest first
-- empty: may
-- invariant: no
-- when: no try of a work unit has ended

SELECT d.name AS dataset, u.number AS unit, n.seconds, u.images,
       round(u.images * 1.0 / max(n.seconds, 1), 1) AS images_per_second, u.bytes, n.tries, n.ending, n.host, n.slurm_job_id
FROM (
    -- SQLite takes the other columns from the row that has the maximum
    SELECT work_unit_id, max(id) AS last, host, slurm_job_id, ending, count(*) AS tries,
           CAST(strftime('%s', ended_at) AS INTEGER) - CAST(strftime('%s', started_at) AS INTEGER) AS seconds
    FROM attempt WHERE work_unit_id IS NOT NULL AND ended_at IS NOT NULL GROUP BY work_unit_id
) AS n
JOIN work_unit u ON u.id = n.work_unit_id
JOIN dataset d ON d.id = u.dataset_id
ORDER BY n.seconds DESC, d.name, u.number;
