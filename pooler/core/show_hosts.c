/*
 * show_hosts.c - see show_hosts.h.
 */
#include "core/show_hosts.h"

#include "conf/conf.h"
#include "core/peers.h"
#include "core/rows.h"
#include "net/dns.h"

static void
dns_row(void *arg, const struct dns_row *d)
{
	struct row r;

	row_begin(&r);
	row_text(&r, d->name);
	row_int(&r, d->ttl_s);
	row_text(&r, d->addrs);
	row_end(&r, arg);
}

void
show_hosts_dns(struct buf *out)
{
	dns_rows(dns_row, out);
}

void
show_hosts_peers(const struct conf *conf, struct buf *out)
{
	for (size_t i = 0; i < conf->n_peers; i++)
	{
		const struct conf_peer *p = &conf->peers[i];
		struct row r;

		row_begin(&r);
		row_int(&r, p->id);
		row_text(&r, p->host);
		row_int(&r, p->port);
		row_int(&r, p->pool_size < 0 ? conf->default_pool_size : p->pool_size);
		row_end(&r, out);
	}
}

/* A request that is on its way has its client and its connection. */
void
show_hosts_peer_pools(const struct conf *conf, struct buf *out)
{
	for (size_t i = 0; i < conf->n_peers; i++)
	{
		struct peers_counts c;
		struct row r;

		peers_counts(conf->peers[i].id, &c);
		row_begin(&r);
		row_int(&r, conf->peers[i].id);
		row_int(&r, c.active);
		row_int(&r, c.waiting);
		row_int(&r, c.active - c.login);
		row_int(&r, c.login);
		row_end(&r, out);
	}
}
