--
-- Schedules: what a text means, with PostgreSQL's time zones. No worker has a part in it.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS perfkit;
RESET client_min_messages;
SET timezone = 'UTC';
SET datestyle = 'ISO';

SELECT * FROM perfkit.next_runs('0 3 * * 1-5', since => '2026-01-01');
SELECT * FROM perfkit.next_runs('@hourly', 2, '2026-01-01 00:00:01');
SELECT * FROM perfkit.next_runs('every 90 minutes', 3, '2026-01-01');
SELECT * FROM perfkit.next_runs('after 5 minutes', 2, '2026-01-01 00:00:00.123456');
SELECT * FROM perfkit.next_runs('0 0 $ * *', 3, '2028-01-31');
SELECT * FROM perfkit.next_runs('0 0 * * *', 0, '2026-01-01');
SELECT count(*) > 0 AS from_now_on FROM perfkit.next_runs('* * * * *') WHERE run_at > now();
SELECT count(*) AS none FROM perfkit.next_runs(NULL);

-- the session's zone, or one of its own
SET timezone = 'Europe/Berlin';
SELECT run_at AT TIME ZONE 'UTC' AS utc FROM perfkit.next_runs('0 3 * * *', 1, '2026-07-01 00:00+00');
SELECT run_at AT TIME ZONE 'UTC' AS utc FROM perfkit.next_runs('0 3 * * *', 1, '2026-07-01 00:00+00', 'Asia/Kathmandu');
SET timezone = 'UTC';

-- clocks that change: the hour left out, the hour that comes twice, midnight left out, a day left out
SELECT zone, schedule, run_at FROM (VALUES
	(1, 'Europe/Berlin', '30 2 * * *', '2026-03-28 12:00+00'::timestamptz),
	(2, 'Europe/Berlin', '30 2 * * *', '2026-10-24 12:00+00'),
	(3, 'Europe/Berlin', '30 * * * *', '2026-10-24 23:45+00'),
	(4, 'Europe/Berlin', '30 0 $ * *', '2027-10-30 12:00+00'),
	(5, 'America/New_York', '30 2 * * *', '2026-03-08 00:00+00'),
	(6, 'America/New_York', '30 1 * * *', '2026-11-01 00:00+00'),
	(7, 'Australia/Lord_Howe', '15 2 * * *', '2026-10-03 00:00+00'),
	(8, 'America/Sao_Paulo', '0 0 * * *', '2018-11-03 12:00+00'),
	(9, 'Pacific/Apia', '0 12 * * *', '2011-12-29 00:00+00')) c(n, zone, schedule, since),
	LATERAL perfkit.next_runs(schedule, 2, since, zone)
ORDER BY n, run_at;

-- away from changes a run is at that local time: every zone, by its own arithmetic
SELECT zone, count(*) FROM (VALUES ('Europe/Berlin'), ('America/New_York'), ('Asia/Kathmandu'), ('Australia/Lord_Howe')) z(zone),
	perfkit.next_runs('5,35 4-9 */3 * *', 2000, '2026-01-01', zone) r
WHERE extract(minute FROM run_at AT TIME ZONE zone) NOT IN (5, 35)
	OR extract(hour FROM run_at AT TIME ZONE zone) NOT BETWEEN 4 AND 9
	OR extract(day FROM run_at AT TIME ZONE zone)::int % 3 <> 1
GROUP BY zone;

-- errors
SELECT * FROM perfkit.next_runs('61 * * * *');
SELECT * FROM perfkit.next_runs('0 0 * * monday');
SELECT * FROM perfkit.next_runs('every 5 months');
SELECT * FROM perfkit.next_runs('0 0 ä * *');
SELECT * FROM perfkit.next_runs('* * * * * *');
SELECT * FROM perfkit.next_runs('on change');
SELECT * FROM perfkit.next_runs('@daily', -1);
SELECT * FROM perfkit.next_runs('@daily', since => 'infinity');
SELECT * FROM perfkit.next_runs('@daily', timezone => 'Mars/Olympus');
SELECT * FROM perfkit.next_runs('@daily', timezone => 'CEST');
SELECT * FROM perfkit.next_runs('@daily', timezone => 'GMT+2');
