/*
 * test_dsn.c - perfkit_dsn: what is a connection string, which hosts it names, and that no secret
 * of it is ever told.
 */
#include "conf/dsn.h"

#include <stdlib.h>
#include <string.h>

#include "conf_files.h"
#include "unit.h"

#define TRUST "[pgbouncer]\nauth_type = trust\n"

/* "host,addr,port;…" of a string, or why it is none. */
static const char *
hosts_of(const char *text)
{
	static char out[1024];
	const char *why;
	struct dsn *d = dsn_parse(text, &why);
	size_t n = 0;

	if (d == NULL)
		return why;
	out[0] = '\0';
	for (int i = 0; i < d->n_hosts; i++)
		n += (size_t) snprintf(out + n, sizeof(out) - n, "%s%s,%s,%s", i > 0 ? ";" : "",
							   d->host[i].host, d->host[i].addr, d->host[i].port);
	dsn_free(d);
	return out;
}

static void
hosts_go_with_their_addresses_and_ports(void **state)
{
	static const char *const rows[][2] = {
		{"host=a", "a,,5432"},
		{"dbname=x", ",,5432"},
		{"host=a,b port=1,2", "a,,1;b,,2"},
		{"host=a,b port=7", "a,,7;b,,7"},
		{"host=/run,b", "/run,,5432;b,,5432"},
		{"hostaddr=10.0.0.1,10.0.0.2", ",10.0.0.1,5432;,10.0.0.2,5432"},
		{"host=a hostaddr=10.0.0.1 port=9", "a,10.0.0.1,9"},
		{"postgresql://joe:s%40x@h1:1,h2:2/db?sslmode=disable", "h1,,1;h2,,2"},
		{"host=a,b hostaddr=10.0.0.1", "has not as many addresses as hosts"},
		{"host=a,b,c port=1,2", "has not as many ports as hosts"},
		{"host=a port=abc", "has a port that is none"},
		{"postgresql://joe:x@h:abc:1/", "has a port that is none"},
		{"host=a port=0", "has a port that is none"},
		{"service=x", "must name its server itself: service and replication are not for it"},
		{"host=a replication=1", "must name its server itself: service and replication are not "
								 "for it"},
	};

	(void) state;
	unsetenv("PGHOST");
	unsetenv("PGHOSTADDR");
	unsetenv("PGPORT");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(hosts_of(rows[i][0]), rows[i][1]);
}

static void
a_host_of_the_environment_is_known(void **state)
{
	(void) state;
	setenv("PGHOST", "elsewhere", 1);
	setenv("PGPORT", "77", 1);
	assert_string_equal(hosts_of("dbname=x"), "elsewhere,,77");
	assert_string_equal(hosts_of("host=a port=5"), "a,,5");
	unsetenv("PGHOST");
	unsetenv("PGPORT");
}

static void
too_many_hosts_are_refused(void **state)
{
	char text[8 + 2 * (DSN_HOSTS_MAX + 1)] = "host=";
	size_t n = strlen(text);

	(void) state;
	for (int i = 0; i <= DSN_HOSTS_MAX; i++)
	{
		text[n++] = 'h';
		text[n++] = ',';
	}
	text[n - 1] = '\0';
	assert_string_equal(hosts_of(text), "names too many hosts");
	text[n - 3] = '\0';
	assert_int_equal(strlen(hosts_of(text)), DSN_HOSTS_MAX * strlen("h,,5432;") - 1);
}

static void
values_are_kept_but_for_the_hosts(void **state)
{
	const char *why;
	struct dsn *d =
		dsn_parse("host=a user=joe password='it''s \\'x\\'' application_name=pooler-7", &why);

	(void) state;
	assert_null(d); /* libpq does not double quotes */
	d = dsn_parse("host=a user=joe password='it\\'s' application_name=pooler-7", &why);
	assert_non_null(d);
	assert_string_equal(dsn_value(d, "user"), "joe");
	assert_string_equal(dsn_value(d, "password"), "it's");
	assert_string_equal(dsn_value(d, "application_name"), "pooler-7");
	assert_null(dsn_value(d, "host"));
	assert_null(dsn_value(d, "dbname"));
	assert_int_equal(d->n, 3);
	dsn_free(d);
	dsn_free(NULL);
}

static void
secrets_are_starred_and_texts_made_one_line(void **state)
{
	static const char *const rows[][2] = {
		{"connection failed:\n\tpassword planted-one is wrong\n",
		 "connection failed: password *********** is wrong"},
		{"planted-oneplanted-one", "**********************"},
		{"nothing here", "nothing here"},
		{"\n \n", ""},
		{"", ""},
		{"  a\r\n\r\nb  ", "a b"},
	};
	const char *why;
	struct dsn *d = dsn_parse("password=planted-one user=joe", &why);
	char text[100];

	(void) state;
	assert_non_null(d);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		strcpy(text, rows[i][0]);
		dsn_clean(d, text);
		assert_string_equal(text, rows[i][1]);
	}
	dsn_free(d);
}

static void
a_bad_one_is_told_with_its_place_and_without_its_text(void **state)
{
	static const char *const bad[] = {
		"password=my planted-one",          "passwort=planted-one", "password='planted-one",
		"postgresql://joe:planted-one@[h/", "planted-one",
	};
	struct conf_error err;
	char text[300];

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		snprintf(text, sizeof(text), TRUST "perfkit_dsn = %s\n", bad[i]);
		assert_null(conf_text_load(text, &err));
		assert_string_equal(err.text, "p.ini:3: perfkit_dsn is no connection string of libpq (a "
									  "value with blanks stands in single quotes)");
	}
	assert_null(conf_text_load(TRUST "perfkit_dsn = service=planted-one\n", &err));
	assert_non_null(strstr(err.text, "p.ini:3: perfkit_dsn must name its server itself"));
	assert_null(strstr(err.text, "planted"));
}

static void
it_is_hidden_where_settings_are_shown(void **state)
{
	struct conf_error err;
	struct conf *c = conf_text_load(TRUST "perfkit_dsn = host=a password=planted-one\n", &err);
	struct conf_row row;
	bool seen = false;

	(void) state;
	assert_non_null(c);
	assert_string_equal(c->perfkit_dsn, "host=a password=planted-one");
	for (int i = 0; conf_row(c, i, &row); i++)
	{
		assert_null(strstr(row.value, "planted"));
		seen = seen || (strcmp(row.key, "perfkit_dsn") == 0 && strcmp(row.value, "<hidden>") == 0);
	}
	assert_true(seen);
	conf_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_go_with_their_addresses_and_ports),
		cmocka_unit_test(a_host_of_the_environment_is_known),
		cmocka_unit_test(too_many_hosts_are_refused),
		cmocka_unit_test(values_are_kept_but_for_the_hosts),
		cmocka_unit_test(secrets_are_starred_and_texts_made_one_line),
		cmocka_unit_test(a_bad_one_is_told_with_its_place_and_without_its_text),
		cmocka_unit_test(it_is_hidden_where_settings_are_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
