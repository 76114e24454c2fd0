/*
 * admit.c - see admit.h.
 *
 * Users who do not exist take the same steps as those who do: the same lookup, then the same
 * questions of core/auth. Only of the console's database it is known beforehand that it has none
 * but the users of auth_file.
 */
#include "core/admit.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "conf/hba.h"
#include "conf/ident.h"
#include "core/admin.h"
#include "core/auth.h"
#include "core/lookup.h"
#include "core/replicate.h"
#include "core/session.h"
#include "net/tls.h"

#define PASSWD_MAX 16384 /* bytes of an entry of the system's users */

static void
refuse(struct session *s, const char *why)
{
	char label[200];

	/* Why is for the log: the client is not told what the rules are. */
	log_info("%s: login rejected: %s", session_label(s, label, sizeof(label)), why);
	session_fatal(s, "28000", "login rejected");
}

/* ---- those who need no password ---- */

/* The certificate that the client has shown is for its user, or for one that the map lets be it. */
static bool
certificate_fits(const struct session *s, const char *map)
{
	char name[TLS_NAME_MAX];

	if (s->conn.tls == NULL || !tls_peer_trusted(s->conn.tls))
		return false;
	if (map == NULL)
		return tls_peer_is_named(s->conn.tls, s->user);
	return tls_peer_common_name(s->conn.tls, name) &&
		   ident_allows(s->shard->conf, map, name, s->user);
}

/* The kernel knows who is at the other end of a unix socket. */
static bool
peer(const struct session *s, struct ucred *cred)
{
	socklen_t len = sizeof(*cred);

	/* On TCP the kernel answers too, with nobody. */
	return s->port == 0 && getsockopt(s->conn.fd, SOL_SOCKET, SO_PEERCRED, cred, &len) == 0;
}

static bool
peer_fits(const struct session *s, const char *map)
{
	struct ucred cred;
	struct passwd entry;
	struct passwd *found = NULL;
	char mem[PASSWD_MAX];

	return peer(s, &cred) && getpwuid_r(cred.uid, &entry, mem, sizeof(mem), &found) == 0 &&
		   found != NULL && ident_allows(s->shard->conf, map, found->pw_name, s->user);
}

/* Who runs as the pooler does could as well write its files: on the console, as one of the users
 * that are there for this, he needs no password. */
static bool
is_owner(const struct session *s)
{
	struct ucred cred;

	return admin_is_console(s->shard->conf, s->database) && admin_is_owner_name(s->user) &&
		   peer(s, &cred) && cred.uid == geteuid();
}

/* ---- the rule ---- */

/* What is asked of this client: a type that core/auth knows, or AUTH_CERT. */
struct verdict
{
	enum auth_type type;
	const char *reject; /* why nobody comes in by this rule, or NULL */
};

static const struct hba_rule *
rule_for(const struct session *s)
{
	const struct hba_client client = {
		.database = s->database,
		.user = s->user,
		.address = s->port == 0 ? NULL : s->addr,
		.encrypted = s->conn.tls != NULL,
		.physical = strcmp(replicate_name(s->replicate), "physical") == 0,
	};

	return hba_find(s->shard->conf, &client);
}

static struct verdict
follow_rule(const struct session *s, const struct hba_rule *r)
{
	static const enum auth_type types[] = {
		[HBA_TRUST] = AUTH_TRUST, [HBA_REJECT] = AUTH_TRUST,        [HBA_PLAIN] = AUTH_PLAIN,
		[HBA_MD5] = AUTH_MD5,     [HBA_SCRAM] = AUTH_SCRAM_SHA_256, [HBA_CERT] = AUTH_TRUST,
		[HBA_PEER] = AUTH_TRUST,
	};
	struct verdict v = {.type = types[r->method]};

	if (r->method == HBA_REJECT)
		v.reject = "by a rule of auth_hba_file";
	else if (r->method == HBA_CERT && !certificate_fits(s, r->map))
		v.reject = "no certificate for this user";
	else if (r->method == HBA_PEER && !peer_fits(s, r->map))
		v.reject = "the system's user may not be this one";
	else if (r->certificate == HBA_CERT_TRUSTED && !tls_peer_trusted(s->conn.tls))
		v.reject = "no certificate that client_tls_ca_file vouches for";
	else if (r->certificate == HBA_CERT_NAMED && !certificate_fits(s, r->map))
		v.reject = "no certificate for this user";
	return v;
}

static struct verdict
judge(const struct session *s)
{
	const struct conf *conf = s->shard->conf;
	struct verdict v = {.type = conf->auth_type};
	const struct hba_rule *r;

	if (conf->auth_type == AUTH_CERT)
	{
		v.type = AUTH_TRUST;
		if (!certificate_fits(s, NULL))
			v.reject = "no certificate for this user";
	}
	else if (conf->auth_type == AUTH_HBA)
	{
		r = rule_for(s);
		if (r == NULL)
			v.reject = "no rule of auth_hba_file fits";
		else
			v = follow_rule(s, r);
	}
	return v;
}

/* ---- the secret ---- */

/* Whom to ask about this session's user; false: nobody. */
static bool
whom_to_ask(const struct session *s, struct lookup_ask *ask)
{
	const struct conf *conf = s->shard->conf;
	const struct conf_database *db = conf_find_database(conf, s->database);

	if (conf->auth_type == AUTH_ANY || admin_is_console(conf, s->database))
		return false;
	ask->user = s->user;
	ask->as = db != NULL && db->auth_user != NULL ? db->auth_user : conf->auth_user;
	ask->query = db != NULL && db->auth_query != NULL ? db->auth_query : conf->auth_query;
	ask->database = db != NULL && db->auth_dbname != NULL ? db->auth_dbname
					: conf->auth_dbname != NULL           ? conf->auth_dbname
					: db != NULL                          ? s->database
														  : NULL;
	return ask->as != NULL && ask->as[0] != '\0' && ask->database != NULL;
}

static void
go_on(struct session *s, struct auth_who *who)
{
	void (*done)(struct session *, const struct auth_who *) = s->admitted;

	if (s->conn.tls != NULL)
		who->binding.len = tls_binding(s->conn.tls, who->binding.data);
	done(s, who);
}

static void
looked_up(void *arg, const struct lookup_reply *reply)
{
	struct session *s = arg;
	struct auth_who who;

	s->lookup = NULL;
	if (reply->error != NULL)
	{
		session_fatal(s, "08006", "the user could not be looked up (auth_query)");
		return;
	}
	auth_who(s->shard->conf, s->user, &who);
	who.type = s->auth_type;
	who.known = reply->found;
	who.secret = reply->secret;
	if (reply->secret != NULL && !scram_is_verifier(reply->secret))
		s->secret = mem_strdup(reply->secret);
	/* Those who are not there walk with the majority, which has verifiers nowadays. */
	who.scram_is_usual = true;
	go_on(s, &who);
}

void
admit_start(struct session *s, void (*done)(struct session *s, const struct auth_who *who))
{
	struct verdict v = {.type = AUTH_ANY};
	struct auth_who who;
	struct lookup_ask ask;
	struct lookup *lookup;

	s->is_owner = is_owner(s);
	if (!s->is_owner)
		v = judge(s);
	if (v.reject != NULL)
	{
		refuse(s, v.reject);
		return;
	}
	auth_who(s->shard->conf, s->user, &who);
	who.type = v.type;
	who.known = who.known || s->is_owner;
	s->auth_type = v.type;
	s->admitted = done;
	if (conf_find_user(s->shard->conf, s->user) != NULL || !whom_to_ask(s, &ask))
	{
		go_on(s, &who);
		return;
	}
	/* Without a handle it is over, and the session may be. */
	lookup = lookup_start(s->shard, &ask, looked_up, s);
	if (lookup != NULL)
		s->lookup = lookup;
}

void
admit_failed(struct session *s)
{
	struct lookup_ask ask;

	if (whom_to_ask(s, &ask))
		lookup_forget(s->shard, &ask);
}
