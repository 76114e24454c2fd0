/*
 * test_loop.c - the mailbox: order, no loss, the right thread, and no starving of sockets.
 */
#include "net/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "turning.h"

#define SENDERS 4
#define LETTERS 5000 /* each sender's */

/* ---- a loop in a thread of its own ---- */

struct worker
{
	struct loop loop;
	pthread_t thread;
	struct mail stop;
};

static void *
worker_main(void *arg)
{
	struct worker *w = arg;

	loop_run(&w->loop);
	return NULL;
}

static void
worker_start(struct worker *w)
{
	assert_true(loop_init(&w->loop, 0, w));
	mail_init(&w->stop);
	assert_int_equal(pthread_create(&w->thread, NULL, worker_main, w), 0);
}

static void
stop_worker(struct mail *m)
{
	loop_stop(&list_entry(m, struct worker, stop)->loop);
}

static void
worker_stop(struct worker *w)
{
	loop_post(&w->loop, &w->stop, stop_worker);
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	loop_fini(&w->loop);
}

/* ---- order and loss ---- */

struct letter
{
	struct mail mail;
	int sender;
	int number;
};

static struct
{
	struct letter letters[SENDERS][LETTERS];
	struct loop *to;
	pthread_t reader;  /* the thread on which letters may be read */
	int next[SENDERS]; /* touched by the reading loop only, until it is joined */
	int out_of_order;
	int wrong_thread;
} post;

static void
read_letter(struct mail *m)
{
	const struct letter *l = list_entry(m, struct letter, mail);

	if (l->number != post.next[l->sender])
		post.out_of_order++;
	post.next[l->sender]++;
	if (!pthread_equal(pthread_self(), post.reader))
		post.wrong_thread++;
}

static void *
send_letters(void *arg)
{
	struct letter *mine = arg;

	for (int i = 0; i < LETTERS; i++)
		loop_post(post.to, &mine[i].mail, read_letter);
	return NULL;
}

static void
letters_of_many_threads_arrive_in_order(void **state)
{
	pthread_t senders[SENDERS];
	struct worker w;

	(void) state;
	worker_start(&w);
	post.to = &w.loop;
	post.reader = w.thread;
	for (int s = 0; s < SENDERS; s++)
		for (int i = 0; i < LETTERS; i++)
		{
			mail_init(&post.letters[s][i].mail);
			post.letters[s][i].sender = s;
			post.letters[s][i].number = i;
		}
	for (int s = 0; s < SENDERS; s++)
		assert_int_equal(pthread_create(&senders[s], NULL, send_letters, post.letters[s]), 0);
	for (int s = 0; s < SENDERS; s++)
		assert_int_equal(pthread_join(senders[s], NULL), 0);

	/* The last letter of all is the one that stops the loop: it must not overtake any. */
	worker_stop(&w);
	for (int s = 0; s < SENDERS; s++)
		assert_int_equal(post.next[s], LETTERS);
	assert_int_equal(post.out_of_order, 0);
	assert_int_equal(post.wrong_thread, 0);
}

/* ---- to and fro: each wake-up finds the other loop asleep ---- */

#define ROUNDS 20000

struct ball
{
	struct mail mail;
	struct worker *side[2];
	int rounds; /* belongs to whoever has the ball */
	atomic_bool done;
};

static void
hit(struct mail *m)
{
	struct ball *b = list_entry(m, struct ball, mail);

	b->rounds++;
	if (b->rounds == ROUNDS)
		atomic_store(&b->done, true);
	else
		loop_post(&b->side[b->rounds % 2]->loop, &b->mail, hit);
}

static bool
ball_done(const void *arg)
{
	return atomic_load(&((const struct ball *) arg)->done);
}

static void
tick(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) w;
	(void) revents;
}

static void
no_wake_up_is_lost(void **state)
{
	struct worker a;
	struct worker b;
	struct ball ball = {.side = {&a, &b}};
	struct loop judge;
	ev_timer look;

	(void) state;
	assert_true(loop_init(&judge, -1, NULL));
	worker_start(&a);
	worker_start(&b);
	mail_init(&ball.mail);
	loop_post(&a.loop, &ball.mail, hit);

	ev_timer_init(&look, tick, 0.001, 0.001);
	ev_timer_start(judge.ev, &look);
	turn_until(&judge, ball_done, &ball, "the last hit");
	ev_timer_stop(judge.ev, &look);
	loop_fini(&judge);
	worker_stop(&a);
	worker_stop(&b);
	assert_int_equal(ball.rounds, ROUNDS);
}

/* ---- one loop ---- */

struct restless
{
	struct mail mail;
	struct loop *loop;
	bool *enough;
	int deliveries;
};

static void
post_again(struct mail *m)
{
	struct restless *r = list_entry(m, struct restless, mail);

	r->deliveries++;
	if (!*r->enough)
		loop_post(r->loop, &r->mail, post_again);
}

static void
note_readable(struct ev_loop *ev, ev_io *w, int revents)
{
	(void) ev;
	(void) revents;
	*(bool *) w->data = true;
}

static void
endless_mail_does_not_starve_sockets(void **state)
{
	struct loop l;
	bool readable = false;
	struct restless r = {.loop = &l, .enough = &readable};
	int pipe_fds[2];
	ev_io io;

	(void) state;
	assert_true(loop_init(&l, 0, NULL));
	assert_int_equal(pipe(pipe_fds), 0);
	ev_io_init(&io, note_readable, pipe_fds[0], EV_READ);
	io.data = &readable;
	ev_io_start(l.ev, &io);
	mail_init(&r.mail);
	loop_post(&l, &r.mail, post_again);
	assert_int_equal(write(pipe_fds[1], "x", 1), 1);

	turn_until(&l, is_true, &readable, "the pipe's turn");
	/* A few turns at most: the mail may have come first in some of them. */
	assert_true(r.deliveries <= 3);
	ev_io_stop(l.ev, &io);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	loop_fini(&l);
}

struct parcel
{
	struct mail mail;
	bool *delivered;
};

static void
free_parcel(struct mail *m)
{
	struct parcel *p = list_entry(m, struct parcel, mail);

	*p->delivered = !mail_under_way(m);
	free(p);
}

static void
a_delivery_may_free_its_mail(void **state)
{
	struct loop l;
	bool delivered = false;
	struct parcel *p = calloc(1, sizeof(*p));

	(void) state;
	assert_non_null(p);
	assert_true(loop_init(&l, 0, NULL));
	mail_init(&p->mail);
	p->delivered = &delivered;
	assert_false(mail_under_way(&p->mail));
	loop_post(&l, &p->mail, free_parcel);
	assert_true(mail_under_way(&p->mail));
	assert_false(delivered); /* never from within */
	turn_until(&l, is_true, &delivered, "the parcel");
	loop_fini(&l);
}

static void
mail_posted_before_the_loop_runs_arrives(void **state)
{
	bool delivered = false;
	struct parcel *p = calloc(1, sizeof(*p));
	struct worker w;

	(void) state;
	assert_non_null(p);
	assert_true(loop_init(&w.loop, 0, &w));
	mail_init(&w.stop);
	mail_init(&p->mail);
	p->delivered = &delivered;
	loop_post(&w.loop, &p->mail, free_parcel);
	assert_int_equal(pthread_create(&w.thread, NULL, worker_main, &w), 0);
	worker_stop(&w);
	assert_true(delivered);
}

/* ---- time ---- */

static uint64_t stepped_us;

static uint64_t
stepped(void)
{
	return stepped_us;
}

static void
each_turn_has_its_own_time(void **state)
{
	struct loop l;

	(void) state;
	clock_set_source(stepped);
	assert_true(loop_init(&l, 0, NULL));
	stepped_us = 5;
	turn_once(&l);
	assert_int_equal(clock_turn_us(), 5);
	stepped_us = 6;
	assert_int_equal(clock_turn_us(), 5);
	turn_once(&l);
	assert_int_equal(clock_turn_us(), 6);
	loop_fini(&l);
	stepped_us = 7;
	assert_int_equal(clock_turn_us(), 7);
	clock_set_source(NULL);
}

static void
time_is_up(struct ev_loop *ev, ev_timer *w, int revents)
{
	(void) ev;
	(void) revents;
	*(uint64_t *) w->data = clock_now_us();
}

static bool
is_set(const void *arg)
{
	return *(const uint64_t *) arg != 0;
}

/* However long the loop has been busy in this turn. The best of many tries is good to 10 ms. */
static void
a_timer_counts_from_the_real_now(void **state)
{
	const uint64_t limit = 20000;
	uint64_t best = UINT64_MAX;
	struct loop l;

	(void) state;
	assert_true(loop_init(&l, 0, NULL));
	for (int i = 0; i < 200 && best > 10000; i++)
	{
		uint64_t fired = 0;
		uint64_t busy_until = clock_now_us() + limit + 5000;
		uint64_t began;
		ev_timer w;

		ev_now_update(l.ev);
		while (clock_now_us() < busy_until)
			;
		ev_timer_init(&w, time_is_up, 0., 0.);
		w.data = &fired;
		began = clock_now_us();
		loop_after(&l, &w, limit);
		turn_until(&l, is_set, &fired, "the timer");
		/* The kernel's clock and libev's sum of two floating-point numbers: a microsecond. */
		assert_true(fired + 1 >= began + limit);
		if (fired - began - limit < best)
			best = fired - began - limit;
	}
	assert_true(best <= 10000);
	loop_fini(&l);
}

static void
a_timer_set_anew_fires_once(void **state)
{
	uint64_t fired = 0;
	uint64_t began = clock_now_us();
	struct loop l;
	ev_timer w;

	(void) state;
	assert_true(loop_init(&l, 0, NULL));
	ev_timer_init(&w, time_is_up, 0., 0.);
	w.data = &fired;
	loop_after(&l, &w, 1000);
	loop_after(&l, &w, 40000);
	turn_until(&l, is_set, &fired, "the timer");
	assert_true(fired + 1 >= began + 40000);
	assert_false(ev_is_active(&w));
	loop_fini(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_of_many_threads_arrive_in_order),
		cmocka_unit_test(no_wake_up_is_lost),
		cmocka_unit_test(endless_mail_does_not_starve_sockets),
		cmocka_unit_test(a_delivery_may_free_its_mail),
		cmocka_unit_test(mail_posted_before_the_loop_runs_arrives),
		cmocka_unit_test(each_turn_has_its_own_time),
		cmocka_unit_test(a_timer_counts_from_the_real_now),
		cmocka_unit_test(a_timer_set_anew_fires_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
