/*
 * test_check.c - what is wrong with a configuration and how it is told: mistakes, refusals,
 * warnings, and no secret in any of them.
 */
#include "conf/check.h"

#include "conf_files.h"
#include "unit.h"

#define TRUST "[pgbouncer]\nauth_type = trust\n"

static void
mistakes_are_told_with_place_and_remedy(void **state)
{
	static const struct
	{
		const char *text;
		const char *error;
	} rows[] = {
		{"listen_port = 1\n", "p.ini:1: \"listen_port\" stands before the first section heading"},
		{"[databasse]\n", "p.ini:1: unknown section \"databasse\"; did you mean \"databases\"?"},
		{"[x]\n",
		 "p.ini:1: unknown section \"x\"; there are perfkit-pooler (or pgbouncer), databases, "
		 "users and peers"},
		{TRUST "default_pool_sise = 5\n",
		 "p.ini:3: unknown parameter \"default_pool_sise\"; did you mean \"default_pool_size\"?"},
		{TRUST "zzzzzzzzzz = 5\n", "p.ini:3: unknown parameter \"zzzzzzzzzz\""},
		{TRUST "Listen_Port = 5\n",
		 "p.ini:3: unknown parameter \"Listen_Port\"; did you mean \"listen_port\"?"},
		{TRUST "listen_port = 0\n",
		 "p.ini:3: bad value \"0\" for \"listen_port\"; allowed is an integer from 1 to 65535"},
		{TRUST "listen_port = 65536\n",
		 "p.ini:3: bad value \"65536\" for \"listen_port\"; allowed is an integer from 1 to 65535"},
		{TRUST "default_pool_size = 010\n", "p.ini:3: bad value \"010\" for \"default_pool_size\"; "
											"allowed is an integer from 0 to 1000000"},
		{TRUST "listen_port = 6432 ; here\n",
		 "p.ini:3: bad value \"6432 ; here\" for \"listen_port\"; allowed is an integer from 1 to "
		 "65535; a comment stands on a line of its own"},
		{TRUST "listen_port =\n",
		 "p.ini:3: bad value \"\" for \"listen_port\"; allowed is an integer from 1 to 65535"},
		{TRUST "pool_mode = fast\n", "p.ini:3: bad value \"fast\" for \"pool_mode\"; allowed is "
									 "session, transaction, statement"},
		{TRUST "log_stats = 2\n",
		 "p.ini:3: bad value \"2\" for \"log_stats\"; allowed is 0 or 1 (also "
		 "off or on, no or yes, false or true)"},
		{TRUST "query_timeout = -1\n",
		 "p.ini:3: bad value \"-1\" for \"query_timeout\"; allowed is a time from 0 to 1000000000 "
		 "seconds (or with a unit: us, ms, s, min, h, d)"},
		{TRUST "stats_period = 0.5\n",
		 "p.ini:3: bad value \"0.5\" for \"stats_period\"; allowed is a time from 1 to 1000000000 "
		 "seconds (or with a unit: us, ms, s, min, h, d)"},
		{TRUST "unix_socket_mode = 0800\n", "p.ini:3: bad value \"0800\" for \"unix_socket_mode\"; "
											"allowed is an octal number up to 0777"},
		{TRUST "max_packet_size = 1\n", "p.ini:3: bad value \"1\" for \"max_packet_size\"; allowed "
										"is a size from 64 to 2147483647 "
										"bytes (units B, kB, MB, GB)"},
		{TRUST "[databases]\npgbouncer = host=x\n",
		 "p.ini:4: database name \"pgbouncer\" is reserved for the console"},
		{TRUST "[databases]\na = hosst=x\n",
		 "p.ini:4: database \"a\": unknown parameter \"hosst\"; did you mean \"host\"?"},
		{TRUST "[databases]\na = port=abc\n", "p.ini:4: database \"a\": bad value \"abc\" for "
											  "\"port\"; allowed is an integer from 1 to 65535"},
		{TRUST "[databases]\na = host\n",
		 "p.ini:4: database \"a\": a word without equals sign \"host\""},
		{TRUST "[databases]\na = ==\n",
		 "p.ini:4: database \"a\": an equals sign without a key before it"},
		{TRUST "[databases]\na = host='x\n",
		 "p.ini:4: database \"a\": the quote of \"host\" is not closed, or something follows it at "
		 "once; a quote inside is written twice"},
		{TRUST "[databases]\na = host=a,,b\n",
		 "p.ini:4: database \"a\": an empty name in the list of hosts"},
		{TRUST "[peers]\n1 = host=a,b\n", "p.ini:4: peer \"1\": a peer has one host"},
		{TRUST "[users]\na = pool_mode=none\n", "p.ini:4: user \"a\": bad value \"none\" for "
												"\"pool_mode\"; allowed is session, transaction, "
												"statement"},
		{TRUST "[users]\na = host=x\n", "p.ini:4: user \"a\": unknown parameter \"host\""},
		{TRUST "[peers]\n16384 = host=x\n",
		 "p.ini:4: bad peer id \"16384\"; allowed is an integer from 1 to 16383"},
		{TRUST "[peers]\n1 = hosts=x\n",
		 "p.ini:4: peer \"1\": unknown parameter \"hosts\"; did you mean \"host\"?"},
		{TRUST "%include none.ini\n",
		 "p.ini:3: cannot read \"none.ini\": no such file in this test"},
		{TRUST "%include p.ini\n", "p.ini:3: more than 10 files include each other"},
	};
	struct conf_error err;

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		if (conf_text_load(rows[i].text, &err) != NULL)
			fail_msg("row %zu was accepted", i);
		assert_string_equal(err.text, rows[i].error);
	}
}

static void
what_would_be_a_hole_is_refused(void **state)
{
	static const char *const refused[] = {
		"auth_type = ldap",
		"auth_type = pam",
	};
	char text[256];
	char start[256];
	struct conf_error err;

	(void) state;
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
	{
		snprintf(text, sizeof text, "[pgbouncer]\nauth_type = trust\n%s\n", refused[i]);
		snprintf(start, sizeof start, "p.ini:3: %s is not supported yet; ", refused[i]);
		if (conf_text_load(text, &err) != NULL)
			fail_msg("accepted: %s", refused[i]);
		if (strncmp(err.text, start, strlen(start)) != 0)
			fail_msg("%s", err.text);
	}
}

/* Each text must load with exactly the warnings named, and without any when they are "". */
static void
a_key_without_effect_gives_one_warning(void **state)
{
	static const struct
	{
		const char *text;
		const char *warnings;
	} rows[] = {
		{"", ""},
		{"auth_type = any\n[databases]\na = user=x\n", ""},
		{"auth_type = any\n[databases]\na = user=x\nb = host=y\n",
		 "p.ini:3: auth_type = any needs a user for every database; nobody can use \"b\", which "
		 "has "
		 "none\n"},
		{"auth_type = scram-sha-256\n",
		 "p.ini:3: auth_type is scram-sha-256 and auth_file is not set: "
		 "nobody can log in\n"},
		{"server_tls13_ciphers =\nauth_user =\n", ""}, /* not set, by another spelling */
		{"dns_zone_check_period = 0\n", ""},           /* the default: nothing is missed */
		{"server_tls_sslmode = disable\n", ""},
		{"client_tls_sslmode = disable\n", ""},
		{"default_pool_size = 50\n", ""},
		{"dns_zone_check_period = 1\n", "p.ini:3: dns_zone_check_period has no effect yet\n"},
		{"pkt_buf = 99\npkt_buf = 98\n", "p.ini:4: pkt_buf has no effect yet\n"},
		{"dns_zone_check_period = 1\ndns_zone_check_period = 0\n", ""},
		{"syslog = 1\n", ""},
		{"client_tls_sslmode = allow\n", ""},
		{"auth_ldap_options = secret\n", "p.ini:3: auth_ldap_options has no effect yet\n"},
		{"auth_user = x\nauth_type = scram-sha-256\n", ""},
		{"auth_type = scram-sha-256\n[databases]\na = auth_user=x\n", ""},
		{"[databases]\na = load_balance_hosts=disable\nb = load_balance_hosts=disable\n", ""},
		{"[peers]\n1 = host=/tmp\n2 = host=/tmp port=6432 pool_size=3\n", ""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		char text[512];
		struct conf_file files[] = {{"p.ini", text}, {NULL, NULL}};
		struct conf_files f = {.files = files};
		struct conf_error err;
		struct conf *c;

		snprintf(text, sizeof text, TRUST "%s", rows[i].text);
		c = conf_files_load(&f, &err);
		if (c == NULL)
			fail_msg("%s", err.text);
		assert_string_equal(f.warnings, rows[i].warnings);
		conf_free(c);
	}
}

static void
errors_never_hold_a_password(void **state)
{
	static const char *const texts[] = {
		"a = password=hunter2 more",
		"a = password=my hunter2",
		"a = password=my hunter2 port=1",
		"a = password=my hunter2=x",
		"a = password='hunter2",
		"a = password='my'hunter2",
		"a = password=x port=hunter2",
		"a = port=5432password=hunter2",
		"a = passwrod=hunter2",
		"a = host='x password=hunter2",
		"\"a\" \"hunter2\"",
		"a password=hunter2",
	};
	struct conf_error err;
	char text[256];

	(void) state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
	{
		snprintf(text, sizeof text, TRUST "[databases]\n%s\n", texts[i]);
		assert_null(conf_text_load(text, &err));
		assert_non_null(strstr(err.text, "p.ini:4: "));
		if (strstr(err.text, "hunter2") != NULL)
			fail_msg("%s", err.text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes_are_told_with_place_and_remedy),
		cmocka_unit_test(what_would_be_a_hole_is_refused),
		cmocka_unit_test(a_key_without_effect_gives_one_warning),
		cmocka_unit_test(errors_never_hold_a_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
