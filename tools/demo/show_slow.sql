-- The slowest statements since :since, one line each statement.
SELECT count(*) AS times,
       round(max(duration_ms)::numeric, 1) AS "max ms",
       round(avg(duration_ms)::numeric, 1) AS "mean ms",
       sum(rows) AS rows,
       min(command_tag) AS command,
       left(regexp_replace(min(query), '\s+', ' ', 'g'), 60) AS query
FROM perfkit.slow_queries
WHERE started_at >= :'since' AND outcome = 'ok'
GROUP BY queryid
ORDER BY max(duration_ms) DESC
LIMIT 8;
