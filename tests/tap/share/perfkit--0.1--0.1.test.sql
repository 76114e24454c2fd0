/* An update that changes what the worker writes to: for tests/tap/010_storage.pl only. */

ALTER TABLE perfkit.slow_query_log ADD COLUMN test_note text DEFAULT 'updated';
COMMENT ON COLUMN perfkit.slow_query_log.test_note IS 'for a test';
