/*
 * test_show.c - the option table for readers: SHOW CONFIG, the sample file, what needs a restart;
 * and the table itself.
 */
#include "conf/option.h"

#include "conf_files.h"
#include "unit.h"

#include <stdlib.h>

#define TRUST "[pgbouncer]\nauth_type = trust\n"

static struct conf *
must_load(const char *text)
{
	struct conf_error err;
	struct conf *c = conf_text_load(text, &err);

	if (c == NULL)
		fail_msg("%s", err.text);
	return c;
}

/* A default that its own type refuses would leave the field at zero without a word. */
static void
every_default_is_a_value_of_its_type(void **state)
{
	struct conf *c = must_load(TRUST);

	(void) state;
	assert_true(option_count > 90);
	for (int i = 0; i < option_count; i++)
	{
		const struct option *o = &option_table[i];
		char text[1024];

		if (!option_set(o, c, o->dflt))
			fail_msg("%s: default \"%s\" is refused", o->key, o->dflt);
		assert_int_equal(option_print(o, c, text, sizeof text), o->dflt != NULL);
		assert_string_equal(text, o->dflt != NULL ? o->dflt : "");
		assert_true(strlen(o->doc) > 0);
		assert_int_equal(option_find(option_table, option_count, o->key), i);
	}
	conf_free(c);
}

static void
every_key_of_pgbouncer_is_accepted(void **state)
{
	/* PgBouncer 1.26, main.c; on Linux there is no service_name. */
	static const char keys[] =
		"admin_users application_name_add_host auth_dbname auth_file auth_hba_file auth_ident_file "
		"auth_ldap_options auth_query auth_type auth_user autodb_idle_timeout cancel_wait_timeout "
		"client_idle_timeout client_login_timeout client_tls13_ciphers client_tls_ca_file "
		"client_tls_cert_file client_tls_key_file client_tls_ciphers client_tls_dheparams "
		"client_tls_ecdhcurve client_tls_protocols client_tls_sslmode conffile default_pool_size "
		"disable_pqexec dns_max_ttl dns_nxdomain_ttl dns_zone_check_period "
		"idle_transaction_timeout "
		"ignore_startup_parameters job_name listen_addr listen_backlog listen_port log_connections "
		"log_disconnections log_pooler_errors log_stats logfile login_notify_message "
		"max_client_conn "
		"max_db_client_connections max_db_connections max_packet_size max_prepared_statements "
		"max_user_client_connections max_user_connections min_pool_size peer_id pidfile pkt_buf "
		"pool_mode pool_idle_timeout query_timeout query_wait_notify query_wait_timeout "
		"reserve_pool_size reserve_pool_timeout resolv_conf sbuf_loopcnt scram_iterations "
		"server_check_delay server_check_query server_connect_timeout server_fast_close "
		"server_idle_timeout server_lifetime server_login_retry server_reset_query "
		"server_reset_query_always server_round_robin server_tls13_ciphers server_tls_ca_file "
		"server_tls_cert_file server_tls_key_file server_tls_ciphers server_tls_protocols "
		"server_tls_sslmode so_reuseport stats_period stats_users suspend_timeout syslog "
		"syslog_facility syslog_ident tcp_defer_accept tcp_keepalive tcp_keepcnt tcp_keepidle "
		"tcp_keepintvl tcp_socket_buffer tcp_user_timeout track_extra_parameters "
		"transaction_timeout "
		"unix_socket_dir unix_socket_group unix_socket_mode user verbose";
	char copy[sizeof keys];
	int n = 0;

	(void) state;
	memcpy(copy, keys, sizeof keys);
	for (char *key = strtok(copy, " "); key != NULL; key = strtok(NULL, " "), n++)
	{
		if (option_find(option_table, option_count, key) < 0)
			fail_msg("%s is not in the table", key);
	}
	assert_int_equal(n, 100);
}

static bool
find_row(const struct conf *c, const char *key, struct conf_row *row)
{
	for (int i = 0; conf_row(c, i, row); i++)
	{
		if (strcmp(row->key, key) == 0)
			return true;
	}
	return false;
}

static void
rows_show_values_and_defaults(void **state)
{
	static const struct
	{
		const char *key;
		const char *value;
		const char *dflt;
		bool changeable;
		bool is_null;
		bool default_is_null;
	} rows[] = {
		{"admin_users", "a,b", "", true, false, false},
		{"auth_file", "", "", true, true, true},
		{"auth_ldap_options", "<hidden>", "", true, false, true},
		{"auth_type", "trust", "md5", true, false, false},
		{"conffile", "p.ini", "", true, false, true},
		{"listen_port", "7000", "6432", false, false, false},
		{"log_stats", "0", "1", true, false, false},
		{"max_packet_size", "1048576", "2147483647", true, false, false},
		{"pool_mode", "transaction", "session", true, false, false},
		{"query_timeout", "0.25", "0", true, false, false},
		{"server_tls_sslmode", "prefer", "prefer", true, false, false},
		{"tcp_user_timeout", "1500", "0", true, false, false},
		{"unix_socket_mode", "0700", "0777", false, false, false},
	};
	struct conf *c =
		must_load(TRUST "admin_users = a,b\nauth_ldap_options = ldapbindpasswd=hunter2\n"
						"listen_port = 7000\nlog_stats = no\nmax_packet_size = 1MB\n"
						"pool_mode = transaction\nquery_timeout = 250ms\n"
						"tcp_user_timeout = 1.5s\nunix_socket_mode = 700\n");
	struct conf_row row;

	(void) state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
	{
		if (!find_row(c, rows[i].key, &row))
			fail_msg("no row %s", rows[i].key);
		assert_string_equal(row.value, rows[i].value);
		assert_string_equal(row.default_value, rows[i].dflt);
		assert_int_equal(row.changeable, rows[i].changeable);
		assert_int_equal(row.is_null, rows[i].is_null);
		assert_int_equal(row.default_is_null, rows[i].default_is_null);
	}
	assert_true(conf_row(c, 0, &row));
	assert_string_equal(row.key, "admin_users");
	assert_false(conf_row(c, -1, &row));
	assert_false(conf_row(c, option_count, &row));
	conf_free(c);
}

/* Exporters and people look for PgBouncer's order, which is the alphabet's; ours follow. */
static void
rows_stand_in_alphabetical_order(void **state)
{
	int last = option_find(option_table, option_count, "verbose");

	(void) state;
	assert_true(last > 0);
	for (int i = 1; i < option_count; i++)
	{
		if (i != last + 1)
			assert_true(strcmp(option_table[i - 1].key, option_table[i].key) < 0);
	}
}

static void
note_key(const char *key, void *arg)
{
	strcat(arg, key);
	strcat(arg, " ");
}

static void
what_needs_a_restart_stays_in_force(void **state)
{
	struct conf *now = must_load(TRUST "listen_port = 7000\nthreads = 2\nunix_socket_dir = /run\n");
	struct conf *next = must_load(TRUST "threads = 2\nlisten_port = 7001\ndefault_pool_size = 3\n"
										"user = x\nunix_socket_mode = 777\ndisable_pqexec = 1\n");
	char keys[256] = "";

	(void) state;
	conf_keep_in_force(next, now, note_key, keys);
	assert_string_equal(keys, "disable_pqexec listen_port unix_socket_dir user ");
	keys[0] = '\0';
	conf_keep_in_force(next, now, note_key, keys);
	assert_string_equal(keys, "");
	/* Its texts are its own. */
	conf_free(now);
	assert_string_equal(next->unix_socket_dir, "/run");
	assert_int_equal(next->listen_port, 7000);
	assert_null(next->user);
	assert_false(next->disable_pqexec);
	assert_int_equal(next->default_pool_size, 3);
	conf_free(next);
}

/* Collects the sample with its settings switched on: "; key = value" is one, ";; text" is a
 * comment. */
static void
take_line(const char *text, void *arg)
{
	char *all = arg;

	if (text[0] == ';' && text[1] != ';')
		text++;
	strcat(all, text);
	strcat(all, "\n");
}

static void
the_sample_holds_every_setting_and_loads(void **state)
{
	char *text = calloc(1, 1 << 18);
	struct conf_file files[] = {{"p.ini", text}, {NULL, NULL}};
	struct conf_files f = {.files = files};
	struct conf_error err;
	struct conf *c;

	(void) state;
	conf_print_sample(take_line, text);
	for (int i = 0; i < option_count; i++)
	{
		char line[512];

		snprintf(line, sizeof line, "\n%s = %s\n", option_table[i].key,
				 option_table[i].dflt != NULL ? option_table[i].dflt : "");
		if (strstr(text, line) == NULL)
			fail_msg("not in the sample: %s", option_table[i].key);
	}
	/* The defaults that cannot be loaded yet stand aside. */
	strcat(text, "auth_type = trust\nauth_file =\n");
	c = conf_files_load(&f, &err);
	if (c == NULL)
		fail_msg("%s", err.text);
	assert_non_null(conf_find_database(c, "forumdb"));
	assert_int_equal(conf_find_user(c, "report")->pool_mode, POOL_SESSION);
	conf_free(c);
	free(text);
}

/* The hand-written sample for newcomers, with its user list beside it. Unit tests run from the top
 * of the repository. */
static void
the_shipped_file_loads_without_a_warning(void **state)
{
	char *text = calloc(1, 1 << 16);
	struct conf_file files[] = {
		{"p.ini", text},
		{"userlist.txt", "\"app\" \"secret\"\n"},
		{NULL, NULL},
	};
	struct conf_files f = {.files = files};
	struct conf_error err;
	struct conf *c;
	FILE *file = fopen("docs/perfkit-pooler.ini.sample", "r");

	(void) state;
	assert_non_null(file);
	assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
	fclose(file);
	c = conf_files_load(&f, &err);
	assert_string_equal(err.text, "");
	assert_string_equal(f.warnings, "");
	assert_true(c != NULL && c->default_pool_size == 50);
	assert_non_null(conf_find_user(c, "app"));
	conf_free(c);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_default_is_a_value_of_its_type),
		cmocka_unit_test(every_key_of_pgbouncer_is_accepted),
		cmocka_unit_test(rows_show_values_and_defaults),
		cmocka_unit_test(rows_stand_in_alphabetical_order),
		cmocka_unit_test(what_needs_a_restart_stays_in_force),
		cmocka_unit_test(the_sample_holds_every_setting_and_loads),
		cmocka_unit_test(the_shipped_file_loads_without_a_warning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
