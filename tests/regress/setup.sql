\set ECHO none
--
-- What the SQL tests that read captured rows begin with: the extension, and a way to wait for its worker.
-- Read by \i, so that the tests' output shows what they test.
--
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS perfkit;
RESET client_min_messages;

-- Waits until every captured statement is stored; a deadline instead of a sleep.
CREATE OR REPLACE FUNCTION pg_temp.flush() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + interval '30 s';
BEGIN
	WHILE (SELECT value > 0 FROM perfkit.status WHERE name = 'pending')
		OR (SELECT value = 0 FROM perfkit.status WHERE name = 'worker_pid') LOOP
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION 'captured statements were not stored';
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
END $$;
\set ECHO all
