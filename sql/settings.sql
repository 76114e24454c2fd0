--
-- The settings: defaults, units, who may change them.
--
SELECT name, boot_val, unit, context, min_val, max_val
FROM pg_settings WHERE name LIKE 'perfkit.%' ORDER BY name;

SHOW perfkit.slow_query_threshold;
SHOW perfkit.slow_query_retention;
SHOW perfkit.ring_size;

-- units
SET perfkit.slow_query_threshold = '1.5s';
SHOW perfkit.slow_query_threshold;
SET perfkit.slow_query_threshold = -1;
SHOW perfkit.slow_query_threshold;
SET perfkit.max_query_size = '2kB';
SHOW perfkit.max_query_size;

-- bad values (17 shows the units of the range) and unknown names
DO $$
BEGIN
	SET perfkit.slow_query_threshold = -2;
EXCEPTION WHEN invalid_parameter_value THEN
	RAISE NOTICE '%', regexp_replace(sqlerrm, '(?<=\d) (ms|B)(?=[ )])', '', 'g');
END $$;
SET perfkit.track = 'some';
DO $$
BEGIN
	SET perfkit.max_query_size = '64B';
EXCEPTION WHEN invalid_parameter_value THEN
	RAISE NOTICE '%', regexp_replace(sqlerrm, '(?<=\d) (ms|B)(?=[ )])', '', 'g');
END $$;
SET perfkit.slow_query_treshold = 1;
SET perfkit.ring_size = '1MB';
SET perfkit.flush_interval = '1s';

-- an ordinary role cannot hide, unless it is allowed to
CREATE ROLE regress_perfkit_dev;
SET ROLE regress_perfkit_dev;
SET perfkit.slow_query_threshold = -1;
SET perfkit.track = 'none';
SET perfkit.log_errors = off;
RESET ROLE;
GRANT SET ON PARAMETER perfkit.slow_query_threshold TO regress_perfkit_dev;
SET ROLE regress_perfkit_dev;
SET perfkit.slow_query_threshold = '10ms';
SHOW perfkit.slow_query_threshold;
RESET ROLE;
REVOKE SET ON PARAMETER perfkit.slow_query_threshold FROM regress_perfkit_dev;
DROP ROLE regress_perfkit_dev;
