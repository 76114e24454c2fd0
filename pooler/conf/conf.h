/*
 * conf.h - the ini file as an immutable snapshot.
 *
 * conf_load() reads pgbouncer.ini's dialect, %include and auth_file into one arena; a snapshot
 * never changes and is shared by all threads without locks (P9). RELOAD loads a new one and keeps
 * the old when anything in the file is wrong. The option table conf/options.def is the one source
 * for the parser, SHOW CONFIG, the sample file and docs/pooler.md.
 *
 * Every option is a field of struct conf with the key's name; times are microseconds in uint64_t
 * and carry the suffix _us (but tcp_keepidle and tcp_keepintvl, which the kernel wants in whole
 * seconds, are plain integers).
 */
#ifndef PERFKIT_CONF_CONF_H
#define PERFKIT_CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pool_mode
{
	POOL_MODE_UNSET = -1,
	POOL_SESSION,
	POOL_TRANSACTION,
	POOL_STATEMENT
};

/* session_state: what happens to state that a server keeps for its session outside session pooling.
 */
enum state_policy
{
	STATE_POLICY_UNSET = -1,
	STATE_POLICY_PIN,
	STATE_POLICY_ERROR,
	STATE_POLICY_IGNORE
};

enum auth_type
{
	AUTH_ANY,
	AUTH_TRUST,
	AUTH_PLAIN,
	AUTH_MD5,
	AUTH_CERT,
	AUTH_HBA,
	AUTH_LDAP,
	AUTH_PAM,
	AUTH_SCRAM_SHA_256
};

/* client_tls_sslmode and server_tls_sslmode, in the order of their strictness. */
enum sslmode
{
	SSLMODE_DISABLE,
	SSLMODE_ALLOW,
	SSLMODE_PREFER,
	SSLMODE_REQUIRE,
	SSLMODE_VERIFY_CA,
	SSLMODE_VERIFY_FULL
};

#define CONF_HOSTS_MAX 32           /* hosts of one list */
#define CONF_CONNECT_QUERY_MAX 8000 /* bytes of connect_query */

/* One entry of [databases]. Strings are "" or NULL when not given (NULL where "" would mean
 * something). */
struct conf_database
{
	const char *name; /* "*" is the fallback */
	const char *host; /* NULL: unix socket in the default directory; "/dir", "@abstract", list */
	int port;
	const char *dbname;   /* NULL: the name the client asked for */
	const char *user;     /* forced user, or NULL */
	const char *password; /* of the forced user, or NULL */
	const char *auth_user;
	const char *auth_query;
	const char *auth_dbname;
	const char *connect_query;
	const char *client_encoding;
	const char *datestyle;
	const char *timezone;
	const char *application_name;
	enum pool_mode pool_mode;
	enum state_policy session_state;
	int64_t pool_size; /* this and the next: -1 when not given */
	int64_t min_pool_size;
	int64_t reserve_pool_size;
	int64_t max_db_connections;
	int64_t max_db_client_connections;
	int64_t max_client_waiting;
	int64_t max_statement_length;
	int64_t max_user_connection_rate;
	int64_t max_user_query_rate;
	int64_t max_address_connection_rate;
	int64_t max_address_query_rate;
	int64_t rate_burst_us;
	int64_t server_lifetime_us;
	int64_t query_wait_timeout_us;
	int load_balance_hosts; /* 0 disable, 1 round-robin, -1 not given: round-robin */
};

#define CONF_PEER_ID_MAX 16383 /* 14 bits of a cancel key */
#define CONF_PEER_PORT 6432

/* One entry of [peers]. */
struct conf_peer
{
	int id;
	const char *host; /* NULL: unix socket in unix_socket_dir */
	int port;
	int64_t pool_size; /* -1 when not given */
};

/* One user: an entry of auth_file, of [users], or both. */
struct conf_user
{
	const char *name;
	const char *secret; /* plain, md5… or SCRAM-SHA-256$…; NULL when only in [users] */
	enum pool_mode pool_mode;
	enum state_policy session_state;
	int64_t pool_size; /* -1 when not given, like all below */
	int64_t reserve_pool_size;
	int64_t max_user_connections;
	int64_t max_user_client_connections;
	int64_t max_client_waiting;
	int64_t max_statement_length;
	int64_t max_user_connection_rate;
	int64_t max_user_query_rate;
	int64_t max_address_connection_rate;
	int64_t max_address_query_rate;
	int64_t rate_burst_us;
	int64_t query_timeout_us;
	int64_t query_wait_timeout_us;
	int64_t idle_transaction_timeout_us;
	int64_t transaction_timeout_us;
	int64_t client_idle_timeout_us;
};

/* Entries that say nothing: every field as no key leaves it. */
extern const struct conf_database conf_bare_database;
extern const struct conf_user conf_bare_user;

struct conf_file;

/* One setting of the main section that was not read from a file. */
struct conf_setting
{
	const char *key;
	const char *value;
};

struct hba_rule;
struct ident_line;

/* Options of the main section, a field per row of options.def. */
struct conf
{
#define CONF_FIELDS
#include "conf/options.def"
#undef CONF_FIELDS
	const char *path; /* the ini file */
	struct conf_database *databases;
	size_t n_databases;
	struct conf_user *users;
	size_t n_users;
	/* What a login must know of all users; it has no time to look at each. */
	bool has_plain_secrets;  /* somebody has a password that has to be hashed */
	bool has_only_verifiers; /* somebody has a secret, and all who have one have a verifier */
	struct conf_peer *peers;
	size_t n_peers;
	struct hba_rule *hba; /* conf/hba; auth_type = hba */
	size_t n_hba;
	struct ident_line *ident; /* conf/ident */
	size_t n_ident;
	struct conf_file *files; /* private: what was read, but for auth_file */
	size_t n_files;
	struct conf_setting *settings; /* conf_load_set() since the files were read */
	size_t n_settings;
	void *arena; /* private */
	void *index; /* private: hash of databases and users */
};

/* Where and why a file was refused: one complete line, e.g. "p.ini:12: unknown parameter
 * \"pool_sise\"; did you mean \"pool_size\"?" */
struct conf_error
{
	char text[1024];
};

/* Loads everything. NULL on error with err filled in. Warnings (keys without effect here) are
 * logged when log_warnings. */
struct conf *conf_load(const char *path, bool log_warnings, struct conf_error *err);
void conf_free(struct conf *c);

/* The same files as they were read for `old`, and auth_file as it is now: for when it has changed
 * by itself. */
struct conf *conf_load_users(const struct conf *old, struct conf_error *err);

/* The same files, and one setting of the main section on top of what was set so before. NULL with
 * err filled in: there is no such setting, the value is none for it, or it needs a restart. */
struct conf *conf_load_set(const struct conf *old, const char *key, const char *value,
						   struct conf_error *err);

/* Where files come from and warnings go; conf_load() takes the disk and the log. For tests and
 * fuzzing. */
struct conf_source
{
	/* The whole file, from malloc and with a byte of room behind it. False with *why set (a
	 * constant or strerror's text). */
	bool (*read)(void *arg, const char *path, char **text, size_t *len, const char **why);
	void (*warn)(void *arg, const char *text); /* NULL: no warnings */
	void *arg;
	const struct conf_setting *settings; /* on top of the file's main section */
	size_t n_settings;
};
struct conf *conf_load_from(const struct conf_source *source, const char *path,
							struct conf_error *err);

/* Entry for a database name, or the "*" entry, or NULL. */
const struct conf_database *conf_find_database(const struct conf *c, const char *name);
const struct conf_user *conf_find_user(const struct conf *c, const char *name);

/* The peer of this number, or NULL. */
const struct conf_peer *conf_find_peer(const struct conf *c, int id);

/*
 * Limits in force for a pool or session: user over database over global. Where the database forces
 * a user on its servers, that user's entry counts for what concerns the servers and their time, as
 * in PgBouncer: sizes of pools, of their queues and of all pools of a user, the pool mode, and the
 * timeouts but query_wait_timeout. Everything else is the given user's.
 */
struct conf_limits
{
	enum pool_mode pool_mode;
	int64_t pool_size;
	int64_t min_pool_size;
	int64_t reserve_pool_size;
	int64_t max_db_connections;
	int64_t max_db_client_connections;
	int64_t max_user_connections;
	int64_t max_user_client_connections;
	int64_t max_client_waiting;
	int64_t max_statement_length; /* bytes */
	bool forced_user;             /* this is the one that the database, known by name, forces on its
								   * servers: they are kept without clients too */
	uint64_t server_lifetime_us;
	uint64_t query_timeout_us;
	uint64_t query_wait_timeout_us;
	uint64_t idle_transaction_timeout_us;
	uint64_t transaction_timeout_us;
	uint64_t client_idle_timeout_us;
	enum state_policy session_state;
	int64_t max_user_connection_rate; /* per second, 0: none; like the next three */
	int64_t max_user_query_rate;
	int64_t max_address_connection_rate;
	int64_t max_address_query_rate;
	uint64_t rate_burst_us;
	bool query_rates; /* one of queries is there */
};
void conf_limits(const struct conf *c, const struct conf_database *db, const char *user,
				 struct conf_limits *out);

/* True when user stands in a comma-separated list option (admin_users, stats_users,
 * ignore_startup_parameters). */
bool conf_list_has(const char *list, const char *word);

/* SHOW CONFIG: row i as text; false past the end. Values that are secrets are never options.
 * Buffers are the caller's. */
struct conf_row
{
	const char *key;
	char value[1024];
	char default_value[1024];
	bool changeable;
	bool is_null; /* value not set and no default */
	bool default_is_null;
};
bool conf_row(const struct conf *c, int i, struct conf_row *out);

/* Prints a commented sample ini from the table (perfkit-pooler --sample-config and docs). */
void conf_print_sample(void (*line)(const char *text, void *arg), void *arg);

/* What needs a restart stays as it is in force: those settings of a snapshot that nobody has seen
 * yet become what they are in `now`. report, if any, is called for each that was to be another. */
void conf_keep_in_force(struct conf *next, const struct conf *now,
						void (*report)(const char *key, void *arg), void *arg);

const char *pool_mode_name(enum pool_mode mode);
const char *auth_type_name(enum auth_type type);

#endif
