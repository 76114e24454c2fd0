/*
 * moved.c - see moved.h.
 *
 * The answer comes to whichever loop has asked. It mails the main thread, which has every loop look
 * at its idle servers. A server that changes hands meanwhile may be missed by all of them: it is
 * looked at when it comes back to the pool the next time.
 */
#include "core/moved.h"

#include <stdatomic.h>

#include "core/gather.h"
#include "core/registry.h"
#include "core/server.h"
#include "net/dns.h"
#include "net/loop.h"

static struct registry *news_of;
static struct mail news;
static _Atomic bool told; /* the mail is under way */

static void
look(struct gather_part *part)
{
	registry_foreach_pool(e, part->shard->registry) if (!e->pool.replication)
		server_review(part->shard, &e->pool);
}

static void
looked(struct gather *g)
{
	(void) g;
}

static void
news_arrived(struct mail *mail)
{
	struct registry *r = news_of;

	(void) mail;
	atomic_store(&told, false);
	gather_start(r, &r->main_loop, look, looked, NULL);
}

/* In the thread of the loop that has asked. One mail is enough for several names: what is looked at
 * is looked at after it has arrived. */
static void
moved(void *arg)
{
	struct registry *r = arg;

	if (!atomic_exchange(&told, true))
		loop_post(&r->main_loop, &news, news_arrived);
}

void
moved_start(struct registry *r)
{
	news_of = r;
	mail_init(&news);
	dns_on_move(moved, r);
}
