-- What failed since :since, newest first.
SELECT to_char(started_at, 'HH24:MI:SS') AS at,
       outcome,
       sqlstate,
       round(duration_ms::numeric, 1) AS ms,
       left(message, 45) AS message,
       left(regexp_replace(query, '\s+', ' ', 'g'), 40) AS query
FROM perfkit.failed_queries
WHERE started_at >= :'since'
ORDER BY started_at DESC
LIMIT 8;
