/*
 * test_pgwrite.c - every message byte by byte, and writers that never pass their capacity.
 */
#include "unit.h"

#include <string.h>

#include "proto/pgmsg.h"
#include "proto/pgwrite.h"
#include "proto/startup.h"

static uint8_t mem[512];

static struct pgwriter
fresh(void)
{
	struct pgwriter w;

	memset(mem, 0xee, sizeof(mem));
	pgw_init(&w, mem, sizeof(mem));
	return w;
}

#define assert_written(w, bytes)                                                                   \
	do                                                                                             \
	{                                                                                              \
		assert_false((w)->overflow);                                                               \
		assert_int_equal((w)->len, sizeof(bytes) - 1);                                             \
		assert_memory_equal((w)->mem, bytes, sizeof(bytes) - 1);                                   \
	} while (0)

static void
authentication_messages(void **state)
{
	static const char *const mechanisms[] = {"SCRAM-SHA-256", "X"};
	struct pgwriter w = fresh();

	(void) state;
	pgw_auth_ok(&w);
	assert_written(&w, "R\0\0\0\x08\0\0\0\0");
	w = fresh();
	pgw_auth_sasl(&w, mechanisms, 2);
	assert_written(&w, "R\0\0\0\x19\0\0\0\x0aSCRAM-SHA-256\0X\0\0");
	w = fresh();
	pgw_auth_sasl_continue(&w, "r=a", 3);
	assert_written(&w, "R\0\0\0\x0b\0\0\0\x0br=a");
	w = fresh();
	pgw_auth_sasl_final(&w, "v=", 2);
	assert_written(&w, "R\0\0\0\x0a\0\0\0\x0cv=");
}

static void
messages_after_login(void **state)
{
	static const char *const options[] = {"_pq_.a", "_pq_.b"};
	struct pgwriter w = fresh();

	(void) state;
	pgw_parameter_status(&w, "TimeZone", "UTC");
	assert_written(&w, "S\0\0\0\x11TimeZone\0UTC\0");
	w = fresh();
	pgw_backend_key(&w, 0x01020304, "keykeykey", 9);
	assert_written(&w, "K\0\0\0\x11\1\2\3\4keykeykey");
	w = fresh();
	pgw_ready(&w, 'T');
	assert_written(&w, "Z\0\0\0\5T");
	w = fresh();
	pgw_negotiate(&w, 0x00030000, options, 2);
	assert_written(&w, "v\0\0\0\x1a\0\3\0\0\0\0\0\2_pq_.a\0_pq_.b\0");
}

static void
errors_and_notices_round_trip(void **state)
{
	const struct pgw_error full = {"FATAL", "53300", "too many", "a detail", "a hint"};
	const struct pgw_error bare = {"ERROR", "08P01", "no", NULL, NULL};
	struct pgwriter w = fresh();
	struct pgerror read;

	(void) state;
	pgw_error(&w, &full);
	assert_int_equal(mem[0], 'E');
	assert_int_equal(pgmsg_error_fields(mem + 5, w.len - 5, &read), PGMSG_OK);
	assert_string_equal(read.severity, "FATAL");
	assert_string_equal(read.sqlstate, "53300");
	assert_string_equal(read.message, "too many");
	assert_string_equal(read.detail, "a detail");
	assert_string_equal(read.hint, "a hint");
	w = fresh();
	pgw_notice(&w, &bare);
	assert_written(&w, "N\0\0\0\x1eSERROR\0VERROR\0C08P01\0Mno\0\0");
}

static void
result_sets(void **state)
{
	static const struct pgw_column columns[] = {{"name", 25}, {"n", 20}};
	static const char *const values[] = {"ab", NULL, ""};
	struct pgwriter w = fresh();

	(void) state;
	pgw_row_description(&w, columns, 2);
	assert_written(&w, "T\0\0\0\x31\0\2"
					   "name\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
					   "n\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\0");
	w = fresh();
	pgw_data_row(&w, values, 3);
	assert_written(&w, "D\0\0\0\x14\0\3\0\0\0\2ab\xff\xff\xff\xff\0\0\0\0");
	w = fresh();
	pgw_command_complete(&w, "SHOW");
	assert_written(&w, "C\0\0\0\x09SHOW\0");
}

static void
packets_without_a_type(void **state)
{
	struct pgwriter w = fresh();
	struct startup s;

	(void) state;
	pgw_startup_begin(&w, 0x00030000);
	pgw_cstr(&w, "user");
	pgw_cstr(&w, "joe");
	pgw_startup_end(&w);
	assert_int_equal(startup_parse(mem, w.len, &s), STARTUP_PROTOCOL);
	assert_string_equal(startup_param(&s, "user"), "joe");
	w = fresh();
	pgw_ssl_request(&w);
	assert_int_equal(startup_parse(mem, w.len, &s), STARTUP_SSL);
	w = fresh();
	pgw_cancel_request(&w, 77, "0123456789", 10);
	assert_int_equal(startup_parse(mem, w.len, &s), STARTUP_CANCEL);
	assert_int_equal(s.cancel_pid, 77);
	assert_int_equal(s.cancel_key_len, 10);
	assert_memory_equal(s.cancel_key, "0123456789", 10);
}

static void
frontend_messages(void **state)
{
	struct pgwriter w = fresh();

	(void) state;
	pgw_query(&w, "SELECT 1");
	assert_written(&w, "Q\0\0\0\x0dSELECT 1\0");
	w = fresh();
	pgw_password(&w, "pw");
	assert_written(&w, "p\0\0\0\7pw\0");
	w = fresh();
	pgw_sasl_initial(&w, "M", "n,,", 3);
	assert_written(&w, "p\0\0\0\x0dM\0\0\0\0\3n,,");
	w = fresh();
	pgw_sasl_response(&w, "c=", 2);
	assert_written(&w, "p\0\0\0\6c=");
	w = fresh();
	pgw_terminate(&w);
	assert_written(&w, "X\0\0\0\4");
}

static void
messages_follow_each_other(void **state)
{
	struct pgwriter w = fresh();

	(void) state;
	pgw_auth_ok(&w);
	pgw_query(&w, "");
	pgw_ready(&w, 'I');
	assert_written(&w, "R\0\0\0\x08\0\0\0\0Q\0\0\0\5\0Z\0\0\0\5I");
}

/* With every capacity that is too small: overflow is told and no byte behind the capacity changes.
 */
static void
nothing_is_written_past_the_capacity(void **state)
{
	const struct pgw_error e = {"ERROR", "08P01", "message", "detail", "hint"};
	struct pgwriter w = fresh();
	size_t whole;

	(void) state;
	pgw_error(&w, &e);
	pgw_ready(&w, 'I');
	whole = w.len;
	for (size_t cap = 0; cap <= whole; cap++)
	{
		fresh();
		pgw_init(&w, mem, cap);
		pgw_error(&w, &e);
		pgw_ready(&w, 'I');
		assert_int_equal(w.overflow, cap < whole);
		assert_true(w.len <= cap);
		for (size_t i = cap; i < sizeof(mem); i++)
			assert_int_equal(mem[i], 0xee);
	}
}

static void
after_an_overflow_short_fields_do_not_slip_in(void **state)
{
	struct pgwriter w;

	(void) state;
	fresh();
	pgw_init(&w, mem, 8);
	pgw_begin(&w, 'Q');
	pgw_cstr(&w, "too long");
	pgw_u8(&w, 0);
	pgw_end(&w);
	assert_true(w.overflow);
	assert_int_equal(w.len, 5);
	assert_int_equal(mem[5], 0xee);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(authentication_messages),
		cmocka_unit_test(messages_after_login),
		cmocka_unit_test(errors_and_notices_round_trip),
		cmocka_unit_test(result_sets),
		cmocka_unit_test(packets_without_a_type),
		cmocka_unit_test(frontend_messages),
		cmocka_unit_test(messages_follow_each_other),
		cmocka_unit_test(nothing_is_written_past_the_capacity),
		cmocka_unit_test(after_an_overflow_short_fields_do_not_slip_in),
	};

	return cmocka_run_group_tests_name("pgwrite", tests, NULL, NULL);
}
