--
-- Thresholds: what is shipped, what is refused, whose a row is; who may see and do what.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS perfkit;
RESET client_min_messages;

BEGIN;
SELECT metric, labels, direction, warning, critical, clear_warning, clear_critical, for_duration, cooldown, min_samples, kind, enabled, no_data_after
FROM perfkit.threshold WHERE shipped ORDER BY metric;

-- refused
INSERT INTO perfkit.threshold (metric) VALUES ('m');
ROLLBACK;
INSERT INTO perfkit.threshold (metric, warning, critical) VALUES ('m', 2, 1);
INSERT INTO perfkit.threshold (metric, direction, warning, critical) VALUES ('m', 'below', 1, 2);
INSERT INTO perfkit.threshold (metric, warning, clear_warning) VALUES ('m', 1, 2);
INSERT INTO perfkit.threshold (metric, warning) VALUES ('m', 'NaN');
INSERT INTO perfkit.threshold (metric, critical) VALUES ('m', 'Infinity');
INSERT INTO perfkit.threshold (metric, warning, labels) VALUES ('m', 1, '[]');
INSERT INTO perfkit.threshold (metric, warning, for_duration) VALUES ('m', 1, '-1 s');
INSERT INTO perfkit.threshold (metric, warning, kind) VALUES ('m', 1, 'baseline');

-- a row of the DBA stands in for the shipped one: that is how a restore goes
BEGIN;
UPDATE perfkit.threshold SET critical = 0.99 WHERE metric = 'cpu_ratio';
SELECT shipped FROM perfkit.threshold WHERE metric = 'cpu_ratio';
INSERT INTO perfkit.threshold (metric, warning) VALUES ('disk_ratio', 0.5);
SELECT warning, critical, shipped FROM perfkit.threshold WHERE metric = 'disk_ratio';
ROLLBACK;

-- which threshold counts for a series, and which value
BEGIN;
INSERT INTO perfkit.threshold (metric, labels, warning) VALUES ('threshold_m', '{}', 1), ('threshold_m', '{"a": "1"}', 2);
INSERT INTO perfkit.threshold (metric, warning, enabled) VALUES ('threshold_off', 1, false);
INSERT INTO perfkit.performance_log (logged_at, source, metric, labels, value) VALUES
	(now(), 'application', 'threshold_m', '{"a": "1"}', 1), (now() + interval '1 ms', 'application', 'threshold_m', '{"a": "1"}', 2),
	(now(), 'application', 'threshold_m', '{"a": "2"}', 3), (now(), 'server', 'threshold_m', '{}', 4),
	(now(), 'application', 'threshold_off', '{}', 5);
SELECT metric, source, labels, value, warning FROM perfkit._watched(now() - interval '1 minute', now() + interval '1 s', '0', false) WHERE metric LIKE 'threshold%';
SELECT metric, source, labels, value, warning FROM perfkit._watched(now() - interval '1 minute', now() + interval '1 s', '0', true) WHERE metric LIKE 'threshold%';
SELECT count(*) FROM perfkit._watched(now() + interval '1 minute', now() + interval '1 hour', '0', true);
ROLLBACK;

-- an alert: one open row a series
BEGIN;
SELECT perfkit._alert_changed('threshold_m', 'server', '{}', 'above', 'warning', 'ok', 1, 1, now()) IS NOT NULL AS opened;
SELECT perfkit._alert_changed('threshold_m', 'server', '{}', 'above', 'critical', 'warning', 9, 5, now()) IS NOT NULL AS escalated;
SELECT perfkit._alert_changed('threshold_m', 'server', '{}', 'above', 'no_data', 'critical', 9, 1, now()) IS NOT NULL AS silent;
SELECT level, worst, value, threshold, resolved_at FROM perfkit.alert WHERE metric = 'threshold_m';
SELECT perfkit.health() ->> 'status' IN ('warning', 'critical') AS in_health,
	perfkit.health() -> 'reasons' @> '[{"metric": "threshold_m", "level": "no_data"}]' AS reason;
SELECT perfkit.acknowledge_alert(max(alert_id)) FROM perfkit.alert;
SELECT perfkit._alert_changed('threshold_m', 'server', '{}', 'above', 'ok', 'no_data', 0, 1, now()) IS NOT NULL AS resolved;
SELECT perfkit._alert_changed('threshold_m', 'server', '{}', 'above', 'ok', 'no_data', 0, 1, now()) IS NULL AS no_more;
SELECT level, worst, value, resolved_at = now() AS resolved, acknowledged_by = session_user AS acknowledged FROM perfkit.alert WHERE metric = 'threshold_m';
ROLLBACK;

-- advice
BEGIN;
DELETE FROM perfkit.alert;
SELECT * FROM perfkit.autoscale_advice;
SELECT count(perfkit._alert_changed(m, 'server', '{}', 'above', 'warning', 'ok', 1, 1, now())) FROM unnest('{pool_clients_waiting,waiting_locks}'::text[]) m;
SELECT resource, level, direction, advice, jsonb_array_length(evidence) FROM perfkit.autoscale_advice;
SELECT perfkit._alert_changed('cpu_ratio', 'server', '{}', 'above', 'critical', 'ok', 1, 1, now()) IS NOT NULL AS opened;
SELECT resource, level, CASE resource WHEN 'cpu' THEN direction IN ('up', 'out') ELSE direction = 'up' END FROM perfkit.autoscale_advice WHERE resource <> 'locks';
ROLLBACK;

SELECT perfkit.metrics('xml');
SELECT perfkit.metrics(NULL);

-- who may what
CREATE ROLE regress_perfkit_nobody;
CREATE ROLE regress_perfkit_monitor IN ROLE pg_monitor;
SET ROLE regress_perfkit_nobody;
SELECT count(*) FROM perfkit.threshold;
SELECT count(*) FROM perfkit.alert;
SELECT perfkit.health();
SELECT perfkit.metrics();
SELECT perfkit.acknowledge_alert(1);
SET ROLE regress_perfkit_monitor;
SELECT count(*) > 10 AS thresholds FROM perfkit.threshold;
SELECT perfkit.health() ? 'status' AS health, perfkit.metrics() LIKE '%# EOF' || chr(10) AS metrics, perfkit.acknowledge_alert(-1) AS none;
SELECT count(*) >= 0 AS advice FROM perfkit.autoscale_advice;
UPDATE perfkit.threshold SET warning = 0;
UPDATE perfkit.alert SET level = 'warning';
SELECT perfkit._alert_changed('m', 'server', '{}', 'above', 'warning', 'ok', 1, 1, now());
RESET ROLE;
DROP ROLE regress_perfkit_nobody, regress_perfkit_monitor;
