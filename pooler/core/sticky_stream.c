/*
 * sticky_stream.c - texts that are too long to be held until they are whole: see sticky.h.
 *
 * They are skimmed (proto/sqlskim) as they pass. What is found clean leaves the server as it was;
 * of anything else it is not known what it does, and the server is in doubt from then on (S3).
 */
#include "core/sticky.h"

#include <stdlib.h>

#include "base/log.h"
#include "conf/conf.h"
#include "core/server.h"
#include "proto/sqlskim.h"

void
sticky_doubt(struct sticky *ss, struct server *server)
{
	if (ss->limits->session_state != STATE_POLICY_IGNORE)
		server->state_doubt = true;
}

void
sticky_stream_begin(struct sticky *ss, struct server *server, const void *text, size_t n)
{
	/* The same message once more, when its beginning was too short for somebody else. */
	if (ss->skim == NULL)
		ss->skim = mem_alloc(sizeof(*ss->skim));
	sqlskim_begin(ss->skim);
	sticky_stream_more(ss, server, text, n, false);
}

void
sticky_stream_more(struct sticky *ss, struct server *server, const void *text, size_t n, bool last)
{
	sqlskim_piece(ss->skim, text, n);
	if (!last && !ss->skim->suspicious)
		return;
	/* What is suspicious already need not be looked at any further. */
	if (!sqlskim_end(ss->skim))
		sticky_doubt(ss, server);
	free(ss->skim);
	ss->skim = NULL;
}
