-- A report as a materialized view, and its refresh.
SET client_min_messages = warning;
CREATE MATERIALIZED VIEW IF NOT EXISTS branch_report AS
    SELECT a.bid, count(*) AS accounts, sum(a.abalance) AS balance, max(h.mtime) AS last_movement
    FROM pgbench_accounts AS a
    LEFT JOIN pgbench_history AS h USING (aid)
    GROUP BY a.bid
WITH NO DATA;
REFRESH MATERIALIZED VIEW branch_report;
