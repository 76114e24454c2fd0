/*
 * greet_cancel.c - see greet_cancel.h.
 *
 * A cancel request names a session by pid and key. The pid tells its loop; the request travels
 * there by mail. Where nobody is there it may be a peer's (core/peers). The socket it came on is
 * closed when PostgreSQL has been told, which is what clients wait for.
 */
#include "core/greet_cancel.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "core/peers.h"
#include "core/registry.h"
#include "core/session.h"
#include "proto/startup.h"

struct cancel_request
{
	struct mail mail;
	struct shard *from;
	struct session *requester; /* lives on `from` */
	struct peers_request what;
	bool unknown; /* no session has this key */
};

static void
over(void *arg)
{
	struct cancel_request *r = arg;

	session_answered(r->requester);
	OPENSSL_cleanse(&r->what, sizeof(r->what));
	free(r);
}

/* Back on the requester's loop. */
static void
answered(struct mail *mail)
{
	struct cancel_request *r = list_entry(mail, struct cancel_request, mail);

	/* At the end of the process nothing new is begun. */
	if (r->unknown && r->requester->state != SESSION_CLOSING &&
		peers_knows(r->from->conf, &r->what))
		peers_send(r->from, &r->what, over, r);
	else
		over(r);
}

static void
done(void *arg)
{
	struct cancel_request *r = arg;

	loop_post(&r->from->loop, &r->mail, answered);
}

/* On the loop of the session that is to be cancelled. */
static void
arrived(struct mail *mail)
{
	struct cancel_request *r = list_entry(mail, struct cancel_request, mail);
	struct peers_request *what = &r->what;
	struct shard *shard = registry_shard(r->from->registry, what->pid);
	struct slot *slot = registry_find(shard, what->pid, what->key);
	struct session *target = slot == NULL ? NULL : list_entry(slot, struct session, slot);

	r->unknown = target == NULL || target->key_len != what->key_len ||
				 !str_equal_secret(target->key, what->key, what->key_len);
	if (r->unknown || !session_cancel(target, done, r))
		done(r);
}

void
greet_cancel(struct session *s, const struct startup *packet)
{
	struct cancel_request *r = mem_zalloc(sizeof(*r));

	mail_init(&r->mail);
	r->from = s->shard;
	r->requester = s;
	r->what.pid = packet->cancel_pid;
	r->what.key_len = packet->cancel_key_len;
	memcpy(r->what.key, packet->cancel_key, packet->cancel_key_len);
	peers_receive(&r->what);
	conn_read_stop(&s->conn);
	session_deadline(s, 0);
	s->busy++;
	loop_post(&registry_shard(s->shard->registry, r->what.pid)->loop, &r->mail, arrived);
}
