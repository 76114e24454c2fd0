/*
 * test_hba.c - auth_hba_file and auth_ident_file: what is read, what is refused, and which line
 * decides.
 */
#include "conf/hba.h"
#include "conf/ident.h"

#include <stdlib.h>

#include "conf_files.h"
#include "unit.h"

#define INI                                                                                        \
	"[pgbouncer]\nauth_type = hba\nauth_hba_file = dir/hba\nauth_ident_file = ident\n"             \
	"auth_file = users\n"

static struct conf *
load(const char *hba, const char *ident, struct conf_error *err)
{
	const struct conf_file files[] = {
		{"p.ini", INI},
		{"dir/hba", hba},
		{"ident", ident},
		{"users", "\"alice\" \"x\"\n"},
		{"dir/names", "alice bob, \"all\"\n# nobody\n@more\n"},
		{"dir/more", "carol"},
		{"dir/circle", "@circle"},
		{"/abs/names", "zoe"},
		{NULL, NULL},
	};
	struct conf_files f = {.files = files};

	return conf_files_load(&f, err);
}

/* Which method a client of these meets; NULL: no line fits. */
static const char *
method(const struct conf *c, const char *database, const char *user, const char *address,
	   bool encrypted)
{
	const struct hba_client client = {
		.database = database, .user = user, .address = address, .encrypted = encrypted};
	const struct hba_rule *r = hba_find(c, &client);

	return r == NULL ? NULL : hba_method_name(r->method);
}

static void
the_first_line_that_fits_decides(void **state)
{
	static const char hba[] =
		"local all root peer map=m\n"
		"local all \"Peter Pan\",@names md5 # by file\n"
		"hostgssenc all all all trust\n"
		"hostssl app,\"all\" alice 10.0.0.0/8 cert clientcert=verify-full\r\n"
		"hostnossl app alice 10.0.0.0 255.0.0.0 reject\n"
		"host sameuser all ::1/128 trust\n"
		"host all, x \\\n  @/abs/names \\\r\n 192.168.1.128/25 scram-sha-256\n"
		"host replication rep all password\n"
		"hostnogssenc last all 0.0.0.0/0 md5";
	const struct
	{
		const char *database;
		const char *user;
		const char *address;
		bool encrypted;
		const char *method;
	} rows[] = {
		{"app", "root", NULL, false, "peer"},
		{"app", "Peter Pan", NULL, false, "md5"},
		{"app", "peter pan", NULL, false, NULL},
		{"app", "alice", NULL, false, "md5"},
		{"app", "carol", NULL, false, "md5"},
		{"app", "all", NULL, false, "md5"},
		{"app", "zoe", NULL, false, NULL},
		{"app", "alice", "10.255.0.1", true, "cert"},
		{"app", "alice", "10.255.0.1", false, "reject"},
		{"app", "alice", "::ffff:10.1.2.3", false, "reject"},
		{"app", "alice", "11.0.0.1", true, NULL},
		{"all", "alice", "10.0.0.1", true, "cert"}, /* a name in quotes */
		{"other", "alice", "10.0.0.1", true, NULL},
		{"zoe", "zoe", "::1", false, "trust"},
		{"zoe", "zoe", "::2", false, NULL},
		{"any", "zoe", "192.168.1.129", true, "scram-sha-256"},
		{"any", "zoe", "192.168.1.127", true, NULL},
		{"last", "who", "1.2.3.4", true, "md5"},
		{"last", "who", "fe80::1%eth0", true, NULL},
		{"last", "who", "no address", true, NULL},
		{"replication", "rep", "1.2.3.4", false, NULL},
	};
	struct conf_error err;
	struct conf *c = load(hba, "m alice root\n", &err);

	(void) state;
	if (c == NULL)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		const char *found =
			method(c, rows[i].database, rows[i].user, rows[i].address, rows[i].encrypted);
		const char *wanted = rows[i].method;

		if ((found == NULL) != (wanted == NULL) || (found != NULL && strcmp(found, wanted) != 0))
			fail_msg("row %zu: %s", i, found == NULL ? "none" : found);
	}
	conf_free(c);
}

static void
physical_replication_has_no_database(void **state)
{
	struct conf_error err;
	struct conf *c = load("host all all all trust\nhost replication rep all md5\n", "", &err);
	struct hba_client client = {
		.database = "x", .user = "rep", .address = "1.2.3.4", .physical = true};

	(void) state;
	assert_non_null(c);
	assert_int_equal(hba_find(c, &client)->method, HBA_MD5);
	client.user = "other";
	assert_null(hba_find(c, &client));
	client.physical = false;
	assert_int_equal(hba_find(c, &client)->method, HBA_TRUST);
	conf_free(c);
}

static void
mistakes_refuse_the_file(void **state)
{
	static const struct
	{
		const char *line;
		const char *error;
	} rows[] = {
		{"hosts all all all md5", "unknown type \"hosts\"; there are local, host, hostssl and "
								  "hostnossl"},
		{"host", "the line ends before the database"},
		{"host all", "the line ends before the user"},
		{"host all all", "the line ends before the address"},
		{"host all all all", "the line ends before the method"},
		{"local all all", "the line ends before the method"},
		{"host,local all all all md5", "a list cannot stand for the type"},
		{"host all all 1.2.3.4,5.6.7.8 md5", "a list cannot stand for the address"},
		{"host all all 1.2.3.4 md5", "\"md5\" is no mask for the address before it"},
		{"host all all 1.2.3.4 ffff:: md5", "\"ffff::\" is no mask for the address before it"},
		{"host all all 1.2.3.4/33 md5", "\"33\" is no number of bits for this address"},
		{"host all all 1.2.3.4/-1 md5", "\"-1\" is no number of bits for this address"},
		{"host all all ::1/129 md5", "\"129\" is no number of bits for this address"},
		{"host all all example.org md5",
		 "\"example.org\" is no address; host names are not supported"},
		{"host all all samenet md5", "samenet is not supported; write the addresses"},
		{"host samerole all all md5", "samerole is not supported: the pooler knows no memberships"},
		{"host all +staff all md5", "+staff is not supported: the pooler knows no memberships"},
		{"host all /^a all md5", "regular expressions are not supported"},
		{"host /^a all all md5", "regular expressions are not supported"},
		{"host all \"\" all md5", "an empty name"},
		{"host all \"a all md5", "a quote is never closed"},
		{"host all all all ldap", "method \"ldap\" is unknown or not supported; there are trust, "
								  "reject, password, md5, scram-sha-256, cert and peer"},
		{"host all all all peer", "peer works on unix sockets (local) alone"},
		{"host all all all cert", "cert works with TLS (hostssl) alone"},
		{"host all all all md5 clientcert=verify-ca", "clientcert works with TLS (hostssl) alone"},
		{"hostssl all all all md5 map=x", "map is for the methods peer and cert"},
		{"hostssl all all all cert map=x y=z",
		 "unknown option \"y=z\"; there are map and clientcert"},
		{"host all @nowhere all md5", "cannot read \"dir/nowhere\": no such file in this test"},
	};
	struct conf_error err;

	(void) state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		char text[300];
		char wanted[300];

		snprintf(text, sizeof(text), "# 1\nlocal all \\\n all md5\n%s\n", rows[i].line);
		snprintf(wanted, sizeof(wanted), "dir/hba:4: %s", rows[i].error);
		if (load(text, "", &err) != NULL)
			fail_msg("accepted: %s", rows[i].line);
		assert_string_equal(err.text, wanted);
	}
	assert_null(load("host @circle all all md5\n", "", &err));
	assert_string_equal(err.text, "dir/circle:1: more than 10 files name each other");
}

static void
maps_say_who_may_be_whom(void **state)
{
	struct conf_error err;
	struct conf *c = load("", "# map\nm \"Alice Miller\" alice\nm root all\nn root bob\n", &err);

	(void) state;
	if (c == NULL)
		fail_msg("%s", err.text);
	assert_true(ident_allows(c, NULL, "alice", "alice"));
	assert_false(ident_allows(c, NULL, "alice", "bob"));
	assert_true(ident_allows(c, "m", "Alice Miller", "alice"));
	assert_false(ident_allows(c, "m", "alice", "alice"));
	assert_true(ident_allows(c, "m", "root", "anybody"));
	assert_true(ident_allows(c, "n", "root", "bob"));
	assert_false(ident_allows(c, "n", "root", "alice"));
	assert_false(ident_allows(c, "none", "root", "root"));
	conf_free(c);
	assert_null(load("", "m root\n", &err));
	assert_string_equal(err.text, "ident:1: expected a map, a system user and a database user");
	assert_null(load("", "m /^r x\n", &err));
	assert_string_equal(err.text, "ident:1: regular expressions are not supported");
	assert_null(load("", "m a,b x\n", &err));
	assert_string_equal(err.text, "ident:1: a list cannot stand here");
}

static void
other_types_do_not_read_it(void **state)
{
	struct conf_error err;
	struct conf *c = conf_text_load(
		"[pgbouncer]\nauth_type = trust\nauth_hba_file = none\nauth_ident_file = none\n", &err);

	(void) state;
	assert_non_null(c);
	conf_free(c);
	assert_null(conf_text_load("[pgbouncer]\nauth_type = hba\n", &err));
	assert_string_equal(err.text, "p.ini:2: auth_type = hba needs auth_hba_file");
	assert_null(conf_text_load("[pgbouncer]\nauth_type = trust\nserver_tls_direct = 1\n", &err));
	assert_string_equal(err.text, "p.ini:3: server_tls_direct needs server_tls_sslmode = require, "
								  "verify-ca or verify-full");
	assert_null(conf_text_load("[pgbouncer]\nauth_type = cert\n", &err));
	assert_string_equal(
		err.text, "p.ini:2: auth_type = cert needs client_tls_sslmode = verify-ca or verify-full");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_line_that_fits_decides),
		cmocka_unit_test(physical_replication_has_no_database),
		cmocka_unit_test(mistakes_refuse_the_file),
		cmocka_unit_test(maps_say_who_may_be_whom),
		cmocka_unit_test(other_types_do_not_read_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
