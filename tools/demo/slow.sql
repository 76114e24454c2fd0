-- Statements that are slow because of what they do, sent through the pooler.
-- One a file pass; tools/run.sh prints them later from perfkit.slow_queries.

-- a report over the whole table
SELECT bid,
       count(*) AS accounts,
       avg(abalance) AS mean,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY abalance) AS p99
FROM pgbench_accounts
GROUP BY bid
ORDER BY bid;

-- no index can help a pattern that begins with a wildcard
SELECT count(*) FROM pgbench_accounts WHERE filler LIKE '%needle%';

-- each account that moved, with its last movement
SELECT a.aid, a.abalance, h.delta, h.mtime
FROM pgbench_accounts AS a
JOIN (SELECT aid, delta, mtime, row_number() OVER (PARTITION BY aid ORDER BY mtime DESC) AS n
      FROM pgbench_history) AS h
  ON h.aid = a.aid AND h.n = 1
ORDER BY abs(h.delta) DESC, a.aid
LIMIT 10;

-- a write that touches a hundredth of the table
UPDATE pgbench_accounts SET filler = 'audited' WHERE aid % 100 = 0;
