/*
 * serve_prefix.c - see serve_prefix.h.
 */
#include "core/serve_prefix.h"

#include "core/server.h"
#include "core/session.h"
#include "core/welcome.h"
#include "proto/pgwrite.h"

int
serve_prefix(struct session *s, uint8_t *mem, size_t cap)
{
	struct server *server = s->relay.server;
	char sql[SERVE_PREFIX_MAX];
	struct pgwriter w;
	int n;
	int more;

	if (s->welcome == NULL)
		return 0;
	n = params_diff(&s->params, &s->welcome->params, &server->params, sql, sizeof(sql) - 1);
	if (n < 0)
		return n;
	/* Behind what the server reports: those need no rights that a role could take away. */
	sql[n] = ';';
	more = sticky_attach(&s->relay.sticky, server, sql + n + (n > 0),
						 sizeof(sql) - (size_t) n - (n > 0));
	if (more < 0)
		return more;
	if (more == 0)
		sql[n] = '\0';
	if (n + more == 0)
		return 0;
	pgw_init(&w, mem, cap);
	pgw_query(&w, sql);
	return w.overflow ? -1 : (int) w.len;
}
