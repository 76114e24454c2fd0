/*
 * test_pool_stress.c - one pool, four threads, everything at random: checkouts, checkins, discards,
 * sessions that leave, logins that fail, pauses, limits that change, late mail.
 *
 * Each thread is a loop with a mailbox. Sessions and servers are as in core/session and core/server
 * without their sockets. Time is a counter that each turn of a loop moves, so that back-off and
 * retry are passed in no time. Checked on the way: a server has one owner and one watcher, there
 * are never more than the largest size (reserve and quota included), nobody waits for ever, and
 * waiters are served in the order in which they came (but for mail of two threads that passed each
 * other on the way). At the end everything is asked to stop: everybody who waits is served or can
 * leave, every server is freed.
 *
 * PERFKIT_STRESS_SECONDS says how long (1 by default).
 */
#include "pool_stress.h"

/* ---- servers ---- */

static void park_mail_arrived(struct letter *m);

static struct server *
server_of(struct pool_member *m)
{
	return m == NULL ? NULL : list_entry(m, struct server, member);
}

static void
watch(struct server *s, int from, int to)
{
	int before = atomic_exchange(&s->watched_by, to);

	/* P1: nobody stops or overrides another loop's watcher. */
	EXPECT(before == from || before == POOL_NO_LOOP);
}

static void act(struct loop_thread *l, struct server *s, const struct pool_todo *todo);

static void
want(struct loop_thread *l)
{
	struct pool_todo todo;

	pool_want(&st.pool, now(), &todo);
	act(l, NULL, &todo);
}

/* As core/server_places.c does it, with the one pool. */
static void
places(struct loop_thread *l, const struct pool_todo *todo)
{
	for (int i = 0; i < QUOTA_KINDS; i++)
		if ((todo->freed & 1u << i) != 0 && quota_pop(&st.quotas[i]) != NULL)
			want(l);
	if (todo->blocked != NULL &&
		(quota_enlist(&st.pool.seat[todo->blocked->kind]) || todo->newly_blocked))
		want(l);
}

static void
act(struct loop_thread *l, struct server *s, const struct pool_todo *todo)
{
	if (todo->unpark)
		watch(s, l->index, POOL_NO_LOOP);
	if (todo->mail_home != POOL_NO_LOOP)
	{
		s->park_mail_to = todo->mail_home;
		post(todo->mail_home, &s->park_mail, park_mail_arrived);
	}
	if (todo->park)
		watch(s, l->index, l->index);
	if (todo->destroy)
	{
		EXPECT(atomic_load(&s->watched_by) == POOL_NO_LOOP);
		EXPECT(atomic_load(&s->users) == 0);
		memset(s, 0x5a, sizeof(*s));
		free(s);
	}
	if (todo->wake != NULL)
		todo->wake->wake(todo->wake);
	if (todo->retry_us > 0)
		l->retry_at = now() + todo->retry_us;
	if (todo->reserve_us > 0)
		l->reserve_at = now() + todo->reserve_us;
	if (todo->dial)
		l->logins++;
	places(l, todo);
}

static void
park_mail_arrived(struct letter *m)
{
	struct server *s = list_entry(m, struct server, park_mail);
	struct loop_thread *l = &st.loops[s->park_mail_to];
	struct pool_todo todo;

	watch(s, l->index, POOL_NO_LOOP);
	pool_park_mail(&s->member, l->index, &todo);
	act(l, s, &todo);
}

static void
take_over(struct loop_thread *l, struct server *s)
{
	EXPECT(atomic_fetch_add(&s->users, 1) == 0); /* P3 */
	EXPECT(s->member.owner == l->index);
	list_append(&l->owned, &s->node);
}

static void
close_server(struct loop_thread *l, struct server *s)
{
	struct pool_todo todo;

	atomic_fetch_sub(&st.servers, 1);
	list_remove(&s->node);
	EXPECT(atomic_fetch_sub(&s->users, 1) == 1);
	if (roll(l, 2) == 0)
		pool_lost(&s->member, now(), &todo);
	else
		pool_discard(&s->member, now(), &todo);
	act(l, s, &todo);
}

static void
give_back(struct loop_thread *l, struct server *s)
{
	struct pool_todo todo;

	list_remove(&s->node);
	EXPECT(atomic_fetch_sub(&s->users, 1) == 1);
	pool_checkin(&s->member, l->index, now(), &todo);
	if (todo.close)
	{
		EXPECT(atomic_fetch_add(&s->users, 1) == 0);
		close_server(l, s);
		return;
	}
	act(l, s, &todo);
}

static void
login(struct loop_thread *l)
{
	struct server *s;
	struct pool_waiter *w;
	struct pool_todo todo;
	uint32_t fate = roll(l, 100);

	l->logins--;
	if (fate < 4)
	{
		if (fate == 0)
		{
			pool_login_refused(&st.pool, "28P01", "no");
			while ((w = pool_refuse_next(&st.pool)) != NULL)
				w->wake(w);
		}
		pool_login_failed(&st.pool, now(), &todo);
		act(l, NULL, &todo);
		return;
	}
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		abort();
	list_init(&s->node);
	atomic_store(&s->watched_by, POOL_NO_LOOP);
	pool_member_init(&s->member, &st.pool, l->index, pool_generation(&st.pool), now());
	EXPECT(atomic_fetch_add(&st.servers, 1) < SIZE_MAX_); /* P5 */
	if (atomic_load(&st.servers) > atomic_load(&st.most_servers))
		atomic_store(&st.most_servers, atomic_load(&st.servers));
	take_over(l, s);
	give_back(l, s);
}

/* ---- sessions ---- */

static void
woken(struct letter *m)
{
	struct session *s = list_entry(m, struct session, mail);
	struct loop_thread *l = s->loop;
	struct pool_member *member;
	struct pool_todo todo;
	enum waiter_state state = pool_waiter_woken(&st.pool, &s->waiter, now(), &member, &todo);

	act(l, NULL, &todo);
	EXPECT((state == WAITER_GRANTED) == (member != NULL));
	if (member != NULL)
		take_over(l, server_of(member));
	if (s->state == CLOSING)
	{
		/* P7: freed by its mail, as far as a static session can be. */
		if (member != NULL)
			give_back(l, server_of(member));
		s->state = IDLE;
		return;
	}
	EXPECT(s->state == WAITING);
	if (state == WAITER_GRANTED)
	{
		l->overtaken += s->ticket < l->last_granted;
		l->last_granted = s->ticket;
		l->grants++;
		s->server = server_of(member);
		s->state = ACTIVE;
	}
	else if (state == WAITER_REFUSED)
		s->state = IDLE;
	else
		EXPECT(state == WAITER_QUEUED);
}

static void
wake_session(struct pool_waiter *w)
{
	struct session *s = list_entry(w, struct session, waiter);

	post(s->loop->index, &s->mail, woken);
}

static void
ask(struct session *s)
{
	static _Thread_local uint64_t tickets;
	struct loop_thread *l = s->loop;
	struct pool_todo todo;
	struct server *server = server_of(pool_checkout(&st.pool, &s->waiter, now(), &todo));

	s->ticket = ++tickets;
	s->waited = 0;
	act(l, server, &todo);
	s->state = todo.full ? IDLE : server == NULL ? WAITING : ACTIVE;
	s->server = server;
	if (server != NULL)
		take_over(l, server);
}

static void
quit(struct session *s)
{
	struct pool_todo todo;
	bool gone = pool_leave(&st.pool, &s->waiter, now(), &todo);

	act(s->loop, NULL, &todo);
	s->state = gone ? IDLE : CLOSING;
}

static void
finish(struct session *s, bool lost)
{
	static const enum member_state states[] = {MEMBER_RESETTING, MEMBER_CANCELLING, MEMBER_DRAINING,
											   MEMBER_ACTIVE};
	struct server *server = s->server;

	s->server = NULL;
	s->state = IDLE;
	pool_member_state(&server->member, states[roll(s->loop, 4)]);
	if (lost)
		close_server(s->loop, server);
	else
		give_back(s->loop, server);
}

/* Times with more sessions than servers, where all wait, and times where servers are idle. */
static bool
calm(void)
{
	return now() / (2000 * TURN_US) % 3 != 0;
}

static void
session_turn(struct session *s, bool stopping)
{
	struct loop_thread *l = s->loop;

	switch (s->state)
	{
		case IDLE:
			if (!stopping && roll(l, calm() ? 60 : 4) == 0)
				ask(s);
			break;
		case ACTIVE:
			if (stopping || roll(l, 3) == 0)
				finish(s, roll(l, 50) == 0);
			break;
		case WAITING:
			s->waited++;
			EXPECT(s->waited != STUCK_TURNS); /* P6 */
			if (roll(l, 400) == 0)
				quit(s);
			break;
		case CLOSING:
			break;
	}
}

/* ---- loops ---- */

static void
deliver_mail(struct loop_thread *l)
{
	struct list *n;
	/* Late mail is what the protocol of parking is about. */
	uint32_t most = roll(l, 6);

	while (most-- > 0)
	{
		pthread_mutex_lock(&l->lock);
		n = list_pop(&l->mailbox);
		pthread_mutex_unlock(&l->lock);
		if (n == NULL)
			return;
		list_entry(n, struct letter, node)->deliver(list_entry(n, struct letter, node));
	}
}

/* What every loop does after a pause or a new limit, and now and then for age. */
static void
trim(struct loop_thread *l, bool all)
{
	struct pool_counts c;
	struct pool_member *m;
	struct pool_todo todo;

	pool_counts(&st.pool, &c);
	while ((m = pool_take_idle(&st.pool, l->index, all || c.paused ? UINT64_MAX : 0, &todo)) !=
		   NULL)
	{
		struct server *s = server_of(m);

		act(l, s, &todo);
		take_over(l, s);
		if (m->state != MEMBER_CLOSING && roll(l, 4) == 0)
			give_back(l, s);
		else
			close_server(l, s);
		if (!all && !c.paused && roll(l, 2) == 0)
			return;
	}
}

static void
operate(struct loop_thread *l)
{
	struct pool_limits limits = {.login_concurrency = 1 + roll(l, 3),
								 .size = 1 + roll(l, SIZE_MAX_),
								 .reserve_timeout_us = roll(l, 2) * 20 * TURN_US,
								 .min = roll(l, 3),
								 .max_waiting = roll(l, 3) == 0 ? 1 + roll(l, 40) : 0,
								 .round_robin = roll(l, 2) == 0,
								 .login_retry_us = 1000};
	struct pool_todo todo;

	limits.reserve = roll(l, 1 + SIZE_MAX_ - (uint32_t) limits.size);
	switch (roll(l, 5))
	{
		case 4:
			/* Fewer logins at a time than the pool itself would begin. */
			atomic_store(&st.quotas[QUOTA_LOGINS].limit, roll(l, 3));
			atomic_store(&st.quotas[QUOTA_DATABASE].limit, roll(l, SIZE_MAX_));
			want(l);
			break;
		case 0:
			pool_pause(&st.pool);
			break;
		case 1:
			pool_resume(&st.pool, &todo);
			act(l, NULL, &todo);
			break;
		case 2:
			pool_set_limits(&st.pool, &limits, &todo);
			act(l, NULL, &todo);
			break;
		default:
			pool_retire(&st.pool);
			break;
	}
}

static bool
at_rest(struct loop_thread *l)
{
	bool empty;

	pthread_mutex_lock(&l->lock);
	empty = list_empty(&l->mailbox);
	pthread_mutex_unlock(&l->lock);
	for (int i = 0; i < SESSIONS; i++)
		if (l->sessions[i].state != IDLE)
			return false;
	return l->logins == 0 && atomic_load(&st.servers) == 0 && empty;
}

/* The end: room for all, and no pause. */
static void
stop_loops(struct loop_thread *l)
{
	const struct pool_limits limits = {
		.size = SIZE_MAX_, .login_concurrency = 2, .login_retry_us = 1000};
	struct pool_todo todo;

	for (int i = 0; i < QUOTA_KINDS; i++)
		atomic_store(&st.quotas[i].limit, 0);
	pool_session_count(&st.pool, -1);
	pool_set_limits(&st.pool, &limits, &todo);
	act(l, NULL, &todo);
	pool_resume(&st.pool, &todo);
	act(l, NULL, &todo);
	want(l);
	atomic_store(&st.stop, true);
}

/* Enough grants everywhere to judge their order by. */
static bool
all_served(void)
{
	for (int i = 0; i < LOOPS; i++)
		if (st.loops[i].grants < 100)
			return false;
	return true;
}

static void *
body(void *arg)
{
	struct loop_thread *l = arg;
	struct pool_todo todo;
	bool stopping;

	do
	{
		stopping = atomic_load(&st.stop);
		atomic_fetch_add(&st.now, TURN_US);
		deliver_mail(l);
		session_turn(&l->sessions[roll(l, SESSIONS)], stopping);
		if (l->logins > 0 && roll(l, 3) == 0)
			login(l);
		if (l->retry_at != 0 && now() >= l->retry_at)
		{
			l->retry_at = 0;
			pool_retry(&st.pool, now(), &todo);
			act(l, NULL, &todo);
		}
		if (l->reserve_at != 0 && now() >= l->reserve_at)
		{
			l->reserve_at = 0;
			pool_reserve_due(&st.pool, now(), &todo);
			act(l, NULL, &todo);
		}
		if (roll(l, 20) == 0)
			trim(l, stopping);
		if (!stopping && l->index == 0 && roll(l, 100) == 0)
			do
				operate(l);
			while (roll(l, 2) == 0);
		if (!stopping && l->index == 0 && clock_now_us() >= st.until && all_served())
			stop_loops(l);
		if (roll(l, 8) == 0)
			sched_yield();
	} while (!stopping || !at_rest(l));
	return NULL;
}

static double
seconds(void)
{
	const char *text = getenv("PERFKIT_STRESS_SECONDS");
	double s = text == NULL ? 1.0 : atof(text);

	return s > 0 ? s : 1.0;
}

static void
start(struct loop_thread *l, int index)
{
	l->index = index;
	l->random = 2463534242u + (uint32_t) index * 7919u;
	pthread_mutex_init(&l->lock, NULL);
	list_init(&l->mailbox);
	list_init(&l->owned);
	l->sessions = calloc(SESSIONS, sizeof(*l->sessions));
	assert_non_null(l->sessions);
	for (int i = 0; i < SESSIONS; i++)
	{
		l->sessions[i].loop = l;
		l->sessions[i].waiter.loop = index;
		l->sessions[i].waiter.wake = wake_session;
	}
}

static void
test_everything_at_once(void **state)
{
	const struct pool_limits limits = {
		.size = SIZE_MAX_, .login_concurrency = 2, .login_retry_us = 1000};
	const struct pool_name name = {.database = "app", .user = "orders"};
	struct pool_counts c;
	uint64_t grants = 0;
	uint64_t overtaken = 0;

	(void) state;
	atomic_store(&st.now, 1000000);
	st.until = clock_now_us() + (uint64_t) (seconds() * 1e6);
	assert_true(pool_init(&st.pool, &name, &limits, LOOPS));
	for (int i = 0; i < QUOTA_KINDS; i++)
	{
		quota_init(&st.quotas[i], (enum quota_kind) i, "all");
		quota_join(&st.quotas[i], &st.pool.seat[i], &st.pool);
	}
	pool_session_count(&st.pool, 1);
	for (int i = 0; i < LOOPS; i++)
		start(&st.loops[i], i);
	for (int i = 0; i < LOOPS; i++)
		assert_int_equal(pthread_create(&st.loops[i].thread, NULL, body, &st.loops[i]), 0);
	for (int i = 0; i < LOOPS; i++)
		assert_int_equal(pthread_join(st.loops[i].thread, NULL), 0);
	pool_counts(&st.pool, &c);
	assert_int_equal(atomic_load(&st.faults), 0);
	assert_int_equal(invariant_failures(), 0);
	assert_int_equal(c.total, 0);
	assert_int_equal(c.waiters, 0);
	for (int i = 0; i < QUOTA_KINDS; i++)
	{
		assert_int_equal(atomic_load(&st.quotas[i].used), 0);
		assert_int_equal(atomic_load(&st.quotas[i].n_blocked), 0);
		quota_fini(&st.quotas[i]);
	}
	assert_int_equal(atomic_load(&st.servers), 0);
	assert_true(atomic_load(&st.most_servers) > 1);
	for (int i = 0; i < LOOPS; i++)
	{
		assert_true(list_empty(&st.loops[i].owned));
		assert_true(list_empty(&st.loops[i].mailbox));
		assert_true(st.loops[i].grants > 0);
		/* In any other order it would be about half of them. */
		assert_true(st.loops[i].overtaken < st.loops[i].grants / 5);
		grants += st.loops[i].grants;
		overtaken += st.loops[i].overtaken;
		free(st.loops[i].sessions);
		pthread_mutex_destroy(&st.loops[i].lock);
	}
	print_message("%llu grants by mail, %llu overtaken\n", (unsigned long long) grants,
				  (unsigned long long) overtaken);
	pool_fini(&st.pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
