/*
 * test_pool_park.c - the watcher of an idle server and the mail that stops it, in every order.
 *
 * One server, three loops, one session on each. All sequences of what may happen up to DEPTH steps
 * are played: checkouts, checkins, discards, grants, leaving, the watcher firing, mail arriving
 * late. After each step the rules below must hold, and from wherever it ends everything can be
 * brought to rest with the server freed.
 */
#include "pool_world.h"

#define DEPTH 7

enum step
{
	CHECKOUT,  /* + loop: the session asks; gets the server or queues */
	CHECKIN,   /* + loop: who has the server gives it back */
	DISCARD,   /* + loop: who has it closes it */
	WOKEN,     /* + loop: the session's mail arrives */
	LEAVE,     /* + loop: the session gives up */
	FIRE,      /* + loop: the park watcher fires */
	PARK_MAIL, /* + loop: the park mail arrives */
	KINDS
};

struct scene
{
	struct world world;
	struct fake_server server;
	struct fake_session sessions[LOOPS];
	bool waits[LOOPS];
	bool leaving[LOOPS]; /* gave up with mail under way */
	int holder;          /* loop that has the server, or POOL_NO_LOOP */
};

static void
scene_init(struct scene *s)
{
	static const int loops[] = {0};

	memset(s, 0, sizeof(*s));
	world_init(&s->world, 1);
	for (int i = 0; i < LOOPS; i++)
		s->sessions[i] = session_at(i);
	idle_servers(&s->world, &s->server, loops, 1);
	s->holder = POOL_NO_LOOP;
}

static bool
possible(const struct scene *s, int step)
{
	int loop = step % LOOPS;
	const struct fake_server *server = &s->server;
	bool gone = server->m.state == MEMBER_GONE;

	switch (step / LOOPS)
	{
		case CHECKOUT:
			return !gone && !s->waits[loop] && !s->leaving[loop] && s->holder != loop;
		case CHECKIN:
		case DISCARD:
			return s->holder == loop;
		case WOKEN:
			return s->sessions[loop].mails > 0;
		case LEAVE:
			return s->waits[loop];
		case FIRE:
			return !server->freed && server->watched_by == loop;
		case PARK_MAIL:
			return !server->freed && server->mail_to == loop;
		default:
			return false;
	}
}

static void
take_step(struct scene *s, int step)
{
	int loop = step % LOOPS;
	struct fake_session *session = &s->sessions[loop];
	struct fake_server *got;

	switch (step / LOOPS)
	{
		case CHECKOUT:
			if (checkout(&s->world, session) != NULL)
				s->holder = loop;
			else
				s->waits[loop] = true;
			break;
		case CHECKIN:
			s->holder = POOL_NO_LOOP;
			checkin(&s->world, &s->server);
			break;
		case DISCARD:
			s->holder = POOL_NO_LOOP;
			discard(&s->world, &s->server);
			break;
		case WOKEN:
			woken(&s->world, session, &got);
			if (got != NULL)
				s->holder = loop;
			s->waits[loop] = s->waits[loop] && session->w.state == WAITER_QUEUED;
			s->leaving[loop] = false;
			break;
		case LEAVE:
			s->waits[loop] = false;
			s->leaving[loop] = !leave(&s->world, session);
			break;
		case FIRE:
			s->server.watched_by = POOL_NO_LOOP;
			if (pool_claim(&s->server.m, loop))
				s->holder = loop;
			break;
		case PARK_MAIL:
			park_mail(&s->world, &s->server);
			break;
		default:
			break;
	}
}

static void
check_rules(const struct scene *s)
{
	const struct fake_server *server = &s->server;
	const struct pool_member *m = &server->m;

	assert_int_equal(invariant_failures(), s->world.broken);
	/* What no mail will free any more is freed. */
	assert_int_equal(server->freed, m->state == MEMBER_GONE && server->mail_to == POOL_NO_LOOP);
	if (server->freed)
		return;
	/* P3 */
	assert_int_equal(m->owner == POOL_NO_LOOP, m->state == MEMBER_IDLE);
	if (s->holder != POOL_NO_LOOP)
		assert_int_equal(m->owner, s->holder);
	/* The pool knows of every mail and every watcher. */
	assert_int_equal(m->park_mail, server->mail_to != POOL_NO_LOOP);
	assert_true(server->watched_by == POOL_NO_LOOP || m->parked_at == server->watched_by);
	/* A watcher whose server is another's is being stopped. */
	if (server->watched_by != POOL_NO_LOOP && m->owner != POOL_NO_LOOP)
		assert_true(server->mail_to == server->watched_by);
	/* An idle server is watched, or will be. */
	if (m->state == MEMBER_IDLE && server->mail_to == POOL_NO_LOOP)
		assert_int_equal(server->watched_by, m->home);
}

/* Everybody leaves, all mail arrives, the server is closed. */
static void
bring_to_rest(struct scene *s)
{
	static const int order[] = {LEAVE, WOKEN, PARK_MAIL, DISCARD};
	bool more = true;

	while (more)
	{
		more = false;
		for (size_t k = 0; k < sizeof(order) / sizeof(order[0]) && !more; k++)
			for (int loop = 0; loop < LOOPS && !more; loop++)
				if (possible(s, order[k] * LOOPS + loop))
				{
					take_step(s, order[k] * LOOPS + loop);
					check_rules(s);
					more = true;
				}
	}
	if (!s->server.freed)
		close_idle(&s->world);
	assert_true(s->server.freed);
	while (s->world.dials > 0)
		down(&s->world);
	assert_int_equal(counts(&s->world).total, 0);
	assert_int_equal(counts(&s->world).waiters, 0);
	world_fini(&s->world);
}

/* Plays a path from the start, then everything that can follow it. */
static void
explore(int *path, int len, uint64_t *played)
{
	struct scene s;
	bool next[KINDS * LOOPS];

	scene_init(&s);
	for (int i = 0; i < len; i++)
	{
		take_step(&s, path[i]);
		check_rules(&s);
	}
	for (int step = 0; step < KINDS * LOOPS; step++)
		next[step] = len < DEPTH && possible(&s, step);
	bring_to_rest(&s);
	(*played)++;
	for (int step = 0; step < KINDS * LOOPS; step++)
	{
		if (!next[step])
			continue;
		path[len] = step;
		explore(path, len + 1, played);
	}
}

static void
test_every_order(void **state)
{
	int path[DEPTH];
	uint64_t played = 0;

	(void) state;
	explore(path, 0, &played);
	assert_true(played > 10000);
}

/* The ways that matter, one by one, so that a failure above has a name here. */

static struct fake_server *
parked_at_0(struct world *w, struct fake_server *server)
{
	static const int loops[] = {0};

	world_init(w, 1);
	idle_servers(w, server, loops, 1);
	assert_int_equal(server->watched_by, 0);
	return server;
}

static void
test_own_loop_needs_no_mail(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session s = session_at(0);

	(void) state;
	parked_at_0(&w, &server);
	for (int i = 0; i < 3; i++)
	{
		assert_ptr_equal(checkout(&w, &s), &server);
		assert_int_equal(server.watched_by, POOL_NO_LOOP);
		assert_int_equal(server.mail_to, POOL_NO_LOOP);
		assert_true(checkin(&w, &server));
		assert_int_equal(server.watched_by, 0);
	}
	close_idle(&w);
	world_fini(&w);
}

static void
test_given_back_before_the_mail_has_run(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session s = session_at(1);

	(void) state;
	parked_at_0(&w, &server);
	assert_ptr_equal(checkout(&w, &s), &server);
	assert_int_equal(server.mail_to, 0);
	assert_true(checkin(&w, &server));
	/* Not armed on loop 1 as long as loop 0 may still have its watcher. */
	assert_int_equal(server.watched_by, 0);
	park_mail(&w, &server);
	assert_int_equal(server.watched_by, POOL_NO_LOOP);
	assert_int_equal(server.mail_to, 1);
	park_mail(&w, &server);
	assert_int_equal(server.watched_by, 1);
	close_idle(&w);
	world_fini(&w);
}

static void
test_discarded_before_the_mail_has_run(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session s = session_at(1);

	(void) state;
	parked_at_0(&w, &server);
	assert_ptr_equal(checkout(&w, &s), &server);
	discard(&w, &server);
	assert_false(server.freed);
	assert_int_equal(counts(&w).total, 0);
	park_mail(&w, &server);
	assert_true(server.freed);
	world_fini(&w);
}

static void
test_watcher_fires_while_another_owns_it(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session s = session_at(1);

	(void) state;
	parked_at_0(&w, &server);
	assert_ptr_equal(checkout(&w, &s), &server);
	server.watched_by = POOL_NO_LOOP;
	assert_false(pool_claim(&server.m, 0));
	assert_int_equal(server.m.state, MEMBER_ACTIVE);
	assert_int_equal(server.m.owner, 1);
	assert_true(checkin(&w, &server));
	park_mail(&w, &server);
	park_mail(&w, &server);
	assert_int_equal(server.watched_by, 1);
	close_idle(&w);
	world_fini(&w);
}

static void
test_claimed_by_the_loop_that_still_watches(void **state)
{
	struct world w;
	struct fake_server server;
	struct fake_session s = session_at(1);

	(void) state;
	parked_at_0(&w, &server);
	assert_ptr_equal(checkout(&w, &s), &server);
	assert_true(checkin(&w, &server));
	/* Idle at loop 1, watched by loop 0 until its mail comes: its end is seen there. */
	server.watched_by = POOL_NO_LOOP;
	assert_true(pool_claim(&server.m, 0));
	assert_int_equal(server.m.state, MEMBER_TESTED);
	assert_int_equal(server.m.owner, 0);
	assert_true(checkin(&w, &server));
	assert_int_equal(server.m.home, 0);
	assert_int_equal(server.watched_by, POOL_NO_LOOP);
	park_mail(&w, &server);
	assert_int_equal(server.watched_by, 0);
	close_idle(&w);
	world_fini(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_loop_needs_no_mail),
		cmocka_unit_test(test_given_back_before_the_mail_has_run),
		cmocka_unit_test(test_discarded_before_the_mail_has_run),
		cmocka_unit_test(test_watcher_fires_while_another_owns_it),
		cmocka_unit_test(test_claimed_by_the_loop_that_still_watches),
		cmocka_unit_test(test_every_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
