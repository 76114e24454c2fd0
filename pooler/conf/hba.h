/*
 * hba.h - auth_hba_file: which client has to prove what, in pg_hba.conf's format. The first line
 * that fits decides; where none fits nobody gets in.
 *
 *   # type     database   user     address          method          options
 *   local      all        all                       peer            map=office
 *   hostssl    app,other  alice    10.0.0.0/8       scram-sha-256
 *   host       all        @those   10.0.0.1 255.0.0.0  reject
 *
 * What cannot be honoured is an error and never skipped, since a line that is not there lets
 * somebody in: groups (+name, samerole: the pooler knows no memberships), host names, samehost,
 * samenet, regular expressions, and methods that are not there.
 */
#ifndef PERFKIT_CONF_HBA_H
#define PERFKIT_CONF_HBA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conf;
struct conf_error;

enum hba_connection
{
	HBA_LOCAL,    /* unix socket */
	HBA_HOST,     /* TCP */
	HBA_HOSTSSL,  /* TCP with TLS */
	HBA_HOSTNOSSL /* TCP without */
};

enum hba_method
{
	HBA_TRUST,
	HBA_REJECT,
	HBA_PLAIN,
	HBA_MD5,
	HBA_SCRAM,
	HBA_CERT,
	HBA_PEER
};

/* What is asked of a client's certificate beside the method (clientcert). */
enum hba_certificate
{
	HBA_CERT_UNASKED,
	HBA_CERT_TRUSTED, /* verify-ca */
	HBA_CERT_NAMED    /* verify-full: and for the user */
};

/* An address in network byte order; len 4 or 16, 0 for any. */
struct hba_net
{
	uint8_t addr[16];
	uint8_t mask[16];
	int len;
};

struct hba_rule
{
	int line; /* of the file, for the log */
	enum hba_connection connection;
	const char *databases; /* list, see hba.c */
	const char *users;
	struct hba_net net;
	enum hba_method method;
	enum hba_certificate certificate;
	const char *map; /* NULL: none */
};

/* Reads a file that a line names as @file; as conf_source.read. */
struct hba_source
{
	bool (*read)(void *arg, const char *path, char **text, size_t *len, const char **why);
	void *arg;
};

/* Adds the rules of len bytes at text (changed; a byte of room behind them) to the snapshot. */
bool hba_parse(struct conf *c, char *text, size_t len, const char *file,
			   const struct hba_source *source, struct conf_error *err);

struct hba_client
{
	const char *database;
	const char *user;
	const char *address; /* NULL: unix socket */
	bool encrypted;
	bool physical; /* wants a physical replication connection, which no database name fits */
};

/* The rule for a client, or NULL. */
const struct hba_rule *hba_find(const struct conf *c, const struct hba_client *client);

const char *hba_method_name(enum hba_method method);

#endif
