/*
 * encryption.c - see encryption.h.
 */
#include "core/encryption.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "conf/conf.h"
#include "core/registry.h"
#include "net/tls.h"

/*
 * Clients: what they show is looked at in every mode that has a ca_file, since a line of the HBA
 * file may ask for it, but only the verifying modes send somebody away.
 */
static bool
make_client(const struct conf *conf, struct encryption *e, char *error, size_t cap)
{
	const struct tls_settings s = {
		.prefix = "client_tls",
		.accepts = true,
		.verify = conf->client_tls_sslmode >= SSLMODE_VERIFY_CA ? TLS_VERIFY_CHAIN : TLS_VERIFY_ASK,
		.ca_file = conf->client_tls_ca_file,
		.cert_file = conf->client_tls_cert_file,
		.key_file = conf->client_tls_key_file,
		.protocols = conf->client_tls_protocols,
		.ciphers = conf->client_tls_ciphers,
		.tls13_ciphers = conf->client_tls13_ciphers,
		.ecdhcurve = conf->client_tls_ecdhcurve,
		.dheparams = conf->client_tls_dheparams,
	};

	if (conf->client_tls_sslmode == SSLMODE_DISABLE)
		return true;
	e->client = tls_context_new(&s, error, cap);
	return e->client != NULL;
}

static bool
make_server(const struct conf *conf, struct encryption *e, char *error, size_t cap)
{
	const struct tls_settings s = {
		.prefix = "server_tls",
		.verify = conf->server_tls_sslmode == SSLMODE_VERIFY_FULL ? TLS_VERIFY_NAME
				  : conf->server_tls_sslmode == SSLMODE_VERIFY_CA ? TLS_VERIFY_CHAIN
																  : TLS_VERIFY_NONE,
		.ca_file = conf->server_tls_ca_file,
		.cert_file = conf->server_tls_cert_file,
		.key_file = conf->server_tls_key_file,
		.protocols = conf->server_tls_protocols,
		.ciphers = conf->server_tls_ciphers,
		.tls13_ciphers = conf->server_tls13_ciphers,
	};

	if (conf->server_tls_sslmode == SSLMODE_DISABLE)
		return true;
	e->server = tls_context_new(&s, error, cap);
	return e->server != NULL;
}

struct encryption *
encryption_new(const struct conf *conf, struct conf_error *err)
{
	struct encryption *e = mem_zalloc(sizeof(*e));
	char error[sizeof(err->text) - 256];

	if (make_client(conf, e, error, sizeof(error)) && make_server(conf, e, error, sizeof(error)))
		return e;
	snprintf(err->text, sizeof(err->text), "%.200s: %s", conf->path, error);
	encryption_free(e);
	return NULL;
}

void
encryption_free(struct encryption *e)
{
	if (e == NULL)
		return;
	tls_context_free(e->client);
	tls_context_free(e->server);
	free(e);
}

struct tls_context *
encryption_of_clients(const struct shard *shard)
{
	return shard->encryption == NULL ? NULL : shard->encryption->client;
}

struct tls_context *
encryption_of_servers(const struct shard *shard)
{
	return shard->encryption == NULL ? NULL : shard->encryption->server;
}

bool
encryption_same_servers(const struct encryption *a, const struct encryption *b)
{
	return a == NULL || b == NULL ? a == b : tls_context_same(a->server, b->server);
}
