--
-- log_metric(): an application's own measurements.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS perfkit;
RESET client_min_messages;
\set VERBOSITY default

SELECT perfkit.log_metric('metric_orders_per_second', 12.5);
SELECT perfkit.log_metric('metric_order_latency_seconds', 0.031, '{"region": "eu", "cached": true, "shard": 3}');
SELECT perfkit.log_metric(metric => 'metric_queue_length', value => -0.0, labels => '{}');
SELECT source, metric, labels, value, logged_at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS fresh
FROM perfkit.performance_log WHERE metric LIKE 'metric\_%' ORDER BY metric;

-- it is part of the transaction
BEGIN;
SELECT perfkit.log_metric('metric_rolled_back', 1);
ROLLBACK;
SELECT count(*) FROM perfkit.performance_log WHERE metric = 'metric_rolled_back';

-- bad input
SELECT perfkit.log_metric('Orders', 1);
SELECT perfkit.log_metric('', 1);
SELECT perfkit.log_metric('9lives', 1);
SELECT perfkit.log_metric('a b', 1);
SELECT perfkit.log_metric(repeat('x', 129), 1);
SELECT perfkit.log_metric(NULL, 1);
SELECT perfkit.log_metric('metric_null', NULL);
SELECT perfkit.log_metric('metric_nan', 'NaN');
SELECT perfkit.log_metric('metric_inf', '-Infinity');
SELECT perfkit.log_metric('metric_labels', 1, '[]');
SELECT perfkit.log_metric('metric_labels', 1, '"x"');
SELECT perfkit.log_metric('metric_labels', 1, '{"a": null}');
SELECT perfkit.log_metric('metric_labels', 1, '{"a": {"b": 1}}');
SELECT perfkit.log_metric('metric_labels', 1, '{"A": 1}');
SELECT perfkit.log_metric('metric_labels', 1, (SELECT jsonb_object_agg('l' || g, g) FROM generate_series(1, 33) g));
SELECT count(*) FROM perfkit.performance_log WHERE metric IN ('metric_null', 'metric_nan', 'metric_inf', 'metric_labels');

-- any role may log, none but pg_read_all_stats may read or write the table
CREATE ROLE regress_perfkit_app;
SET ROLE regress_perfkit_app;
SELECT perfkit.log_metric('metric_by_app', 1);
SELECT count(*) FROM perfkit.performance_log;
INSERT INTO perfkit.performance_log VALUES (now(), 'server', 'cpu_ratio', '{}', 1);
RESET ROLE;
SELECT source, metric, value FROM perfkit.performance_log WHERE metric = 'metric_by_app';
DROP ROLE regress_perfkit_app;

-- async: whatever becomes of the transaction, and soon
BEGIN;
SELECT perfkit.log_metric('metric_async', 1, '{"region": "eu"}', async => true);
SELECT perfkit.log_metric('metric_async', 2, async => true);
ROLLBACK;
DO $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN (SELECT count(*) FROM perfkit.performance_log WHERE metric = 'metric_async') = 2;
		PERFORM pg_sleep(0.05);
		COMMIT;
	END LOOP;
END $$;
SELECT source, labels, value, logged_at BETWEEN now() - interval '5 minutes' AND now() AS fresh
FROM perfkit.performance_log WHERE metric = 'metric_async' ORDER BY value;
SELECT name, value FROM perfkit.status WHERE name IN ('metrics_lost', 'series_refused') ORDER BY name;
SELECT perfkit.log_metric('metric_async', 'NaN', async => true);
SELECT perfkit.log_metric('metric_async', 1, async => NULL);
SELECT perfkit.log_metric('metric_labels', 1, jsonb_build_object('l', repeat('x', 2000)));
DELETE FROM perfkit.performance_log WHERE metric LIKE 'metric\_%';
