/*
 * hba.c - see hba.h.
 *
 * A list of databases or users is one text: for each word a letter that tells what it is, the word
 * and its terminator; an empty word ends it. So it lives in the snapshot's arena like all text.
 */
#include "conf/hba.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "conf/field.h"
#include "conf/ini.h"
#include "conf/snapshot.h"
#include "conf/value.h"

#define FILE_DEPTH_MAX 10

/* The letters of a list. */
#define WORD_NAME '='
#define WORD_ALL '*'
#define WORD_SAMEUSER 's'
#define WORD_REPLICATION 'r'

struct parse
{
	struct conf *conf;
	const struct hba_source *source;
	const char *file;
};

static const struct value_word connections[] = {
	{"local", HBA_LOCAL},         {"host", HBA_HOST}, {"hostssl", HBA_HOSTSSL},
	{"hostnossl", HBA_HOSTNOSSL}, {NULL, 0},
};

static const struct value_word methods[] = {
	{"trust", HBA_TRUST}, {"reject", HBA_REJECT}, {"password", HBA_PLAIN},
	{"plain", HBA_PLAIN}, {"md5", HBA_MD5},       {"scram-sha-256", HBA_SCRAM},
	{"cert", HBA_CERT},   {"peer", HBA_PEER},     {NULL, 0},
};

const char *
hba_method_name(enum hba_method method)
{
	return value_word_name(methods, (int) method);
}

/* ---- words ---- */

/* The next word, which must be there and alone in its field. */
static bool
next_single(char **line, struct field_word *word, const char *what, const struct ini_place *at,
			struct conf_error *err)
{
	switch (field_next(line, word))
	{
		case FIELD_BAD:
			return ini_fail(err, at, "a quote is never closed");
		case FIELD_END:
			return ini_fail(err, at, "the line ends before the %s", what);
		case FIELD_WORD:
			break;
	}
	if (word->more)
		return ini_fail(err, at, "a list cannot stand for the %s", what);
	return true;
}

/* ---- lists ---- */

static void
add_to_list(struct buf *list, char kind, const char *text)
{
	buf_append(list, &kind, 1);
	buf_append(list, text, strlen(text) + 1);
}

static bool add_file(const struct parse *p, struct buf *list, const char *path, bool databases,
					 int depth, const struct ini_place *at, struct conf_error *err);

/* One word of a list of databases or of users. */
static bool
add_word(const struct parse *p, struct buf *list, const struct field_word *w, bool databases,
		 int depth, const struct ini_place *at, struct conf_error *err)
{
	if (field_is(w, "all"))
		add_to_list(list, WORD_ALL, "");
	else if (databases && field_is(w, "sameuser"))
		add_to_list(list, WORD_SAMEUSER, "");
	else if (databases && field_is(w, "replication"))
		add_to_list(list, WORD_REPLICATION, "");
	else if (databases && (field_is(w, "samerole") || field_is(w, "samegroup")))
		return ini_fail(err, at, "%s is not supported: the pooler knows no memberships", w->text);
	else if (!databases && !w->quoted && w->text[0] == '+')
		return ini_fail(err, at, "%.60s is not supported: the pooler knows no memberships",
						w->text);
	else if (!w->quoted && w->text[0] == '/')
		return ini_fail(err, at, "regular expressions are not supported");
	else if (!w->quoted && w->text[0] == '@')
		return add_file(p, list, w->text + 1, databases, depth, at, err);
	else if (w->text[0] == '\0')
		return ini_fail(err, at, "an empty name");
	else
		add_to_list(list, WORD_NAME, w->text);
	return true;
}

/* The words of a file that a list names. */
struct list_file
{
	const struct parse *parse;
	struct buf *list;
	bool databases;
	int depth;
};

static bool
list_file_line(void *arg, const struct ini_place *at, char *line, struct conf_error *err)
{
	const struct list_file *f = arg;
	struct field_word w;
	enum field_result r;

	while ((r = field_next(&line, &w)) == FIELD_WORD)
		if (!add_word(f->parse, f->list, &w, f->databases, f->depth, at, err))
			return false;
	return r == FIELD_END || ini_fail(err, at, "a quote is never closed");
}

/* A relative path starts where the HBA file is, as in PostgreSQL. */
static char *
beside(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');
	size_t folder = path[0] == '/' || slash == NULL ? 0 : (size_t) (slash + 1 - file);
	char *whole = mem_alloc(folder + strlen(path) + 1);

	memcpy(whole, file, folder);
	strcpy(whole + folder, path);
	return whole;
}

static bool
add_file(const struct parse *p, struct buf *list, const char *path, bool databases, int depth,
		 const struct ini_place *at, struct conf_error *err)
{
	struct list_file f = {.parse = p, .list = list, .databases = databases, .depth = depth + 1};
	const struct field_reader reader = {.line = list_file_line, .arg = &f};
	const char *why = "unknown error";
	char *whole;
	char *text;
	size_t len;
	bool ok;

	if (depth >= FILE_DEPTH_MAX)
		return ini_fail(err, at, "more than %d files name each other", FILE_DEPTH_MAX);
	whole = beside(p->file, path);
	ok = p->source->read(p->source->arg, whole, &text, &len, &why);
	if (!ok)
		ini_complain(err, at, "cannot read \"%.300s\": %s", whole, why);
	else
	{
		ok = field_lines(text, len, whole, &reader, err);
		free(text);
	}
	free(whole);
	return ok;
}

static bool
parse_list(const struct parse *p, char **line, bool databases, const char **out,
		   const struct ini_place *at, struct conf_error *err)
{
	const char *what = databases ? "database" : "user";
	struct field_word w = {.more = true};
	struct buf list;
	bool ok = true;

	buf_init(&list);
	while (ok && w.more)
		switch (field_next(line, &w))
		{
			case FIELD_WORD:
				ok = add_word(p, &list, &w, databases, 0, at, err);
				break;
			case FIELD_BAD:
				ok = ini_fail(err, at, "a quote is never closed");
				break;
			case FIELD_END:
				ok = ini_fail(err, at, "the line ends before the %s", what);
				break;
		}
	if (ok)
	{
		buf_append(&list, "", 1);
		*out = snapshot_text(p->conf, (const char *) buf_data(&list), buf_len(&list));
	}
	buf_fini(&list);
	return ok;
}

/* ---- addresses ---- */

/* IPv4 or IPv6 from text; an IPv4 address in IPv6's clothes is what it is. False: neither. */
static bool
parse_ip(const char *text, uint8_t addr[16], int *len)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	char bare[INET6_ADDRSTRLEN];

	if (inet_pton(AF_INET, text, addr) == 1)
	{
		*len = 4;
		return true;
	}
	/* Without the zone of a link-local address. */
	if (!str_copy(bare, sizeof(bare), text))
		return false;
	bare[strcspn(bare, "%")] = '\0';
	if (inet_pton(AF_INET6, bare, addr) != 1)
		return false;
	*len = 16;
	if (memcmp(addr, mapped, sizeof(mapped)) == 0)
	{
		memmove(addr, addr + 12, 4);
		*len = 4;
	}
	return true;
}

static void
mask_of_bits(uint8_t mask[16], int64_t bits)
{
	for (int i = 0; i < 16; i++, bits -= 8)
		mask[i] = bits >= 8 ? 0xff : bits <= 0 ? 0 : (uint8_t) (0xff << (8 - bits));
}

/* The mask of an address without /bits stands in a field of its own. */
static bool
parse_mask(char **line, struct hba_net *net, const struct ini_place *at, struct conf_error *err)
{
	struct field_word w;
	int len;

	if (!next_single(line, &w, "mask", at, err))
		return false;
	if (!parse_ip(w.text, net->mask, &len) || len != net->len)
		return ini_fail(err, at, "\"%.60s\" is no mask for the address before it", w.text);
	return true;
}

static bool
parse_address(char **line, struct hba_net *net, const struct ini_place *at, struct conf_error *err)
{
	struct field_word w;
	char *slash;
	int64_t bits;

	if (!next_single(line, &w, "address", at, err))
		return false;
	if (field_is(&w, "all"))
		return true;
	if (field_is(&w, "samehost") || field_is(&w, "samenet"))
		return ini_fail(err, at, "%s is not supported; write the addresses", w.text);
	slash = strchr(w.text, '/');
	if (slash != NULL)
		*slash = '\0';
	if (!parse_ip(w.text, net->addr, &net->len))
		return ini_fail(err, at, "\"%.60s\" is no address; host names are not supported", w.text);
	if (slash == NULL)
		return parse_mask(line, net, at, err);
	if (!str_to_int64(slash + 1, 0, net->len * 8, &bits))
		return ini_fail(err, at, "\"%.60s\" is no number of bits for this address", slash + 1);
	mask_of_bits(net->mask, bits);
	return true;
}

/* ---- method and options ---- */

static bool
parse_method(char **line, struct hba_rule *r, const struct ini_place *at, struct conf_error *err)
{
	struct field_word w;
	int method;

	if (!next_single(line, &w, "method", at, err))
		return false;
	/* On a unix socket PostgreSQL means peer by it. */
	if (r->connection == HBA_LOCAL && strcmp(w.text, "ident") == 0)
		method = HBA_PEER;
	else if (!value_word(methods, w.text, &method))
		return ini_fail(err, at,
						"method \"%.60s\" is unknown or not supported; there are trust, reject, "
						"password, md5, scram-sha-256, cert and peer",
						w.text);
	r->method = (enum hba_method) method;
	if (r->method == HBA_PEER && r->connection != HBA_LOCAL)
		return ini_fail(err, at, "peer works on unix sockets (local) alone");
	if (r->method == HBA_CERT && r->connection != HBA_HOSTSSL)
		return ini_fail(err, at, "cert works with TLS (hostssl) alone");
	return true;
}

static bool
parse_option(const struct parse *p, struct hba_rule *r, const char *text,
			 const struct ini_place *at, struct conf_error *err)
{
	if (strncmp(text, "map=", 4) == 0)
	{
		if (r->method != HBA_PEER && r->method != HBA_CERT)
			return ini_fail(err, at, "map is for the methods peer and cert");
		r->map = snapshot_text(p->conf, text + 4, strlen(text + 4));
	}
	else if (strcmp(text, "clientcert=verify-ca") == 0)
		r->certificate = HBA_CERT_TRUSTED;
	else if (strcmp(text, "clientcert=verify-full") == 0)
		r->certificate = HBA_CERT_NAMED;
	else
		return ini_fail(err, at, "unknown option \"%.60s\"; there are map and clientcert", text);
	if (r->certificate != HBA_CERT_UNASKED && r->connection != HBA_HOSTSSL)
		return ini_fail(err, at, "clientcert works with TLS (hostssl) alone");
	return true;
}

static bool
parse_options(const struct parse *p, char **line, struct hba_rule *r, const struct ini_place *at,
			  struct conf_error *err)
{
	struct field_word w;
	enum field_result result;

	while ((result = field_next(line, &w)) == FIELD_WORD)
		if (!parse_option(p, r, w.text, at, err))
			return false;
	return result == FIELD_END || ini_fail(err, at, "a quote is never closed");
}

/* ---- lines ---- */

static bool
parse_line(void *arg, const struct ini_place *at, char *line, struct conf_error *err)
{
	const struct parse *p = arg;
	struct conf *c = p->conf;
	struct hba_rule r = {.line = at->line};
	struct field_word type;
	int connection;

	if (!next_single(&line, &type, "type", at, err))
		return false;
	if (strcmp(type.text, "hostgssenc") == 0)
		return true; /* nobody connects so */
	if (strcmp(type.text, "hostnogssenc") == 0)
		connection = HBA_HOST;
	else if (!value_word(connections, type.text, &connection))
		return ini_fail(err, at,
						"unknown type \"%.60s\"; there are local, host, hostssl and hostnossl",
						type.text);
	r.connection = (enum hba_connection) connection;
	if (!parse_list(p, &line, true, &r.databases, at, err) ||
		!parse_list(p, &line, false, &r.users, at, err) ||
		(r.connection != HBA_LOCAL && !parse_address(&line, &r.net, at, err)) ||
		!parse_method(&line, &r, at, err) || !parse_options(p, &line, &r, at, err))
		return false;
	c->hba = mem_realloc(c->hba, (c->n_hba + 1) * sizeof(*c->hba));
	c->hba[c->n_hba++] = r;
	return true;
}

bool
hba_parse(struct conf *c, char *text, size_t len, const char *file, const struct hba_source *source,
		  struct conf_error *err)
{
	struct parse p = {.conf = c, .source = source, .file = file};
	const struct field_reader reader = {.line = parse_line, .arg = &p};

	return field_lines(text, len, file, &reader, err);
}

/* ---- which one is it? ---- */

static bool
in_databases(const char *list, const struct hba_client *client)
{
	for (const char *w = list; *w != '\0'; w += strlen(w) + 1)
	{
		if (client->physical || *w == WORD_REPLICATION)
		{
			if (client->physical && *w == WORD_REPLICATION)
				return true;
		}
		else if (*w == WORD_ALL ||
				 (*w == WORD_SAMEUSER && strcmp(client->database, client->user) == 0) ||
				 (*w == WORD_NAME && strcmp(w + 1, client->database) == 0))
			return true;
	}
	return false;
}

static bool
in_users(const char *list, const char *user)
{
	for (const char *w = list; *w != '\0'; w += strlen(w) + 1)
		if (*w == WORD_ALL || (*w == WORD_NAME && strcmp(w + 1, user) == 0))
			return true;
	return false;
}

static bool
in_net(const struct hba_net *net, const uint8_t addr[16], int len)
{
	if (net->len == 0)
		return true;
	if (net->len != len)
		return false;
	for (int i = 0; i < len; i++)
		if (((addr[i] ^ net->addr[i]) & net->mask[i]) != 0)
			return false;
	return true;
}

static bool
connects_so(enum hba_connection connection, const struct hba_client *client)
{
	if (client->address == NULL || connection == HBA_LOCAL)
		return client->address == NULL && connection == HBA_LOCAL;
	return connection == HBA_HOST || (connection == HBA_HOSTSSL) == client->encrypted;
}

const struct hba_rule *
hba_find(const struct conf *c, const struct hba_client *client)
{
	uint8_t addr[16];
	int len = 0;

	/* An address that cannot be read fits no net. */
	if (client->address != NULL && !parse_ip(client->address, addr, &len))
		return NULL;
	for (size_t i = 0; i < c->n_hba; i++)
	{
		const struct hba_rule *r = &c->hba[i];

		if (connects_so(r->connection, client) && in_net(&r->net, addr, len) &&
			in_databases(r->databases, client) && in_users(r->users, client->user))
			return r;
	}
	return NULL;
}
