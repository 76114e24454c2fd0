/*
 * rewrite_doubt.c - the part of rewrite.h that keeps a message back (W7).
 */
#include "core/rewrite.h"

#include <string.h>

#include "core/server.h"
#include "core/undo.h"
#include "proto/prepared.h"

/* Whether it is not known yet what the name stands for, and a ReadyForQuery on its way will tell.
 */
static bool
name_in_doubt(const struct rewrite *w, const struct txstate *tx, const char *name)
{
	const struct undo *change = undo_find_name(&w->ops, name);

	if (change == NULL)
		return false;
	if (change->kind == UNDO_DEALLOCATE && txstate_never_skipped(tx, change->serial))
		return true;
	return txstate_synced_since(tx, change->serial);
}

/* Whether it is the DEALLOCATE of a name that is in doubt. */
static bool
deallocates_in_doubt(const struct rewrite *w, const struct txstate *tx, const uint8_t *sql,
					 size_t len)
{
	char name[REWRITE_DEALLOCATE_MAX];

	return len > 0 && len <= sizeof(name) && memchr(sql, '\0', len) != NULL &&
		   prepared_deallocate_name((const char *) sql, name, sizeof(name)) &&
		   name_in_doubt(w, tx, name);
}

bool
rewrite_in_doubt(const struct rewrite *w, const struct server *s, const struct pgmsg *m,
				 size_t there)
{
	struct prepared p;

	if (s->tx.skipping)
		return false;
	if (m->type == 'Q')
		return deallocates_in_doubt(w, &s->tx, m->body, there);
	if (prepared_split(m, there, &p) != PGMSG_OK)
		return false;
	if (p.name[0] != '\0')
		return name_in_doubt(w, &s->tx, p.name);
	return m->type == 'P' && deallocates_in_doubt(w, &s->tx, p.after, p.after_there);
}
