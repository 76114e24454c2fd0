-- What tools/run.sh itself logged with perfkit.log_metric().
SELECT to_char(logged_at, 'HH24:MI:SS') AS at, source, metric, labels, round(value::numeric, 1) AS value
FROM perfkit.performance_log
WHERE logged_at >= :'since' AND source = 'application'
ORDER BY logged_at, labels;
