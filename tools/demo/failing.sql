-- One statement that runs into statement_timeout, and one that breaks a constraint. SET LOCAL keeps
-- the timeout to this transaction, as befits a pooled connection.
BEGIN;
SET LOCAL statement_timeout = '300ms';
SELECT count(*)
FROM pgbench_accounts AS a
JOIN pgbench_accounts AS b ON a.abalance < b.abalance;
ROLLBACK;
INSERT INTO pgbench_branches (bid, bbalance) VALUES (1, 0);
