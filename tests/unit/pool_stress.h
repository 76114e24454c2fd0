/*
 * pool_stress.h - the actors of test_pool_stress.c: loops with mailboxes, sessions and servers
 * without sockets, one pool with a quota of each kind.
 */
#ifndef PERFKIT_TEST_POOL_STRESS_H
#define PERFKIT_TEST_POOL_STRESS_H

#include "base/assert.h"
#include "base/clock.h"
#include "core/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#define LOOPS 4
#define SESSIONS 12 /* each loop's */
#define SIZE_MAX_ 6
#define TURN_US 500u      /* of the made-up time, per turn */
#define STUCK_TURNS 20000 /* of its loop without an answer: a waiter was forgotten */

struct letter
{
	struct list node;
	void (*deliver)(struct letter *l);
};

struct loop_thread
{
	pthread_t thread;
	pthread_mutex_t lock;
	struct list mailbox; /* lock */
	int index;
	uint32_t random;
	struct session *sessions;
	struct list owned;     /* servers, oldest first */
	int logins;            /* reserved, not yet tried */
	uint64_t retry_at;     /* made-up time; 0: none */
	uint64_t reserve_at;   /* the same */
	uint64_t last_granted; /* ticket of the youngest waiter served */
	_Atomic uint64_t grants;
	uint64_t overtaken; /* grants that came behind that of a younger waiter */
};

enum session_state
{
	IDLE,
	WAITING,
	ACTIVE,
	CLOSING
};

struct session
{
	struct pool_waiter waiter;
	struct letter mail;
	struct loop_thread *loop;
	enum session_state state;
	struct server *server;
	uint64_t ticket;
	uint32_t waited; /* turns */
};

struct server
{
	struct pool_member member;
	struct list node; /* owned */
	struct letter park_mail;
	int park_mail_to;
	_Atomic int watched_by;
	_Atomic int users;
};

static struct
{
	struct pool pool;
	struct quota quotas[QUOTA_KINDS];
	struct loop_thread loops[LOOPS];
	uint64_t until; /* real time */
	_Atomic uint64_t now;
	_Atomic bool stop;
	_Atomic int servers;
	_Atomic int most_servers;
	_Atomic uint64_t faults;
} st;

/* cmocka may not be called outside of the test's thread. */
#define EXPECT(cond)                                                                               \
	do                                                                                             \
	{                                                                                              \
		if (!(cond))                                                                               \
		{                                                                                          \
			if (atomic_fetch_add(&st.faults, 1) < 5)                                               \
				fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                         \
		}                                                                                          \
	} while (0)

static inline uint32_t
roll(struct loop_thread *l, uint32_t sides)
{
	l->random ^= l->random << 13;
	l->random ^= l->random >> 17;
	l->random ^= l->random << 5;
	return l->random % sides;
}

static inline void
post(int loop, struct letter *m, void (*deliver)(struct letter *))
{
	struct loop_thread *l = &st.loops[loop];

	m->deliver = deliver;
	pthread_mutex_lock(&l->lock);
	list_append(&l->mailbox, &m->node);
	pthread_mutex_unlock(&l->lock);
}

static inline uint64_t
now(void)
{
	return atomic_load(&st.now);
}

#endif
