/*
 * pool_park.c - the park watcher of an idle server.
 *
 * An idle server is watched by the loop that last owned it, so that its death is
 * seen at once and a checkout on the same loop costs nothing. When another loop checks it out, the
 * home loop's watcher has to be stopped by the home loop itself: park_mail is posted. Until that
 * mail has been handled nobody arms the watcher anew and nobody frees the member; the handler
 * (pool_park_mail) looks at where the member is by then and arms, passes the mail on to the new
 * home, or frees what is gone.
 */
#include "core/pool.h"

#include <stdatomic.h>

#include "core/pool_parts.h"

bool
pool_claim(struct pool_member *m, int loop)
{
	struct pool *p = m->pool;
	bool mine;

	lock_acquire(&p->lock);
	mine = m->state == MEMBER_IDLE && m->parked_at == loop;
	if (mine)
	{
		pool_unlist(p, m);
		pool_set_state(m, MEMBER_TESTED);
		m->owner = loop;
	}
	if (m->parked_at == loop)
		m->parked_at = POOL_NO_LOOP;
	pool_unlock(p);
	return mine;
}

void
pool_park_mail(struct pool_member *m, int loop, struct pool_todo *todo)
{
	bool here;

	pool_begin(m->pool, todo);
	here = m->state == MEMBER_IDLE && m->home == loop;
	if (m->parked_at == loop)
		m->parked_at = POOL_NO_LOOP;
	if (here && m->parked_at == POOL_NO_LOOP)
	{
		m->parked_at = loop;
		todo->park = true;
	}
	if (m->state == MEMBER_IDLE && !here)
		todo->mail_home = m->home; /* park_mail stays true: the mail goes on */
	else
		m->park_mail = false;
	todo->destroy = m->state == MEMBER_GONE;
	m->pool->held -= todo->destroy;
	pool_unlock(m->pool);
}

void
pool_oldest_idle(struct pool *p, int loop, uint64_t *idle_since_us, uint64_t *born_us)
{
	*idle_since_us = 0;
	*born_us = 0;
	lock_acquire(&p->lock);
	list_foreach(n, next, &p->idle[loop])
	{
		const struct pool_member *m = list_entry(n, struct pool_member, node);

		if (*idle_since_us == 0)
			*idle_since_us = m->idle_since_us;
		if (*born_us == 0 || m->born_us < *born_us)
			*born_us = m->born_us;
	}
	pool_unlock(p);
}
