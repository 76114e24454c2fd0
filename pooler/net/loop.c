/*
 * loop.c - see loop.h.
 *
 * The mailbox is a list under a lock of its own, taken for a few pointer moves by the sender and
 * once per wake-up by the receiver, which takes the whole list at once: mail posted by a delivery
 * runs in the next turn, so that no loop can be kept busy by mail alone while its sockets wait.
 */
#include "net/loop.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

/* libev calls it when it has waited, before it looks at what has happened. */
static void
turn_begins(EV_P)
{
	struct loop *l = ev_userdata(EV_A);

	/* Of the wait; where it is an older one's, the sockets are asked once more for nothing. */
	l->interrupted = errno == EINTR;
	clock_turn_begin();
}

/*
 * Calls what is pending. A wait that was interrupted, as by a pause of the process (SIGCONT), has
 * brought timers only: the sockets are asked first.
 */
static void
turn(EV_P)
{
	struct loop *l = ev_userdata(EV_A);

	if (l->asking_again)
	{
		/* The turn within begins: not before it has asked. */
		l->asking_again = false;
		return;
	}
	if (l->interrupted)
	{
		errno = 0;
		l->interrupted = false;
		l->asking_again = true;
		ev_run(EV_A, EVRUN_NOWAIT);
	}
	ev_invoke_pending(EV_A);
}

static void
deliver_all(struct ev_loop *ev, ev_async *w, int revents)
{
	struct loop *l = w->data;
	struct list batch;

	(void) ev;
	(void) revents;
	list_init(&batch);
	lock_acquire(&l->mail_lock);
	if (!list_empty(&l->mailbox))
	{
		/* The whole list changes its head: O(1) whatever its length. */
		list_insert_between(&batch, l->mailbox.prev, l->mailbox.next);
		list_init(&l->mailbox);
	}
	lock_release(&l->mail_lock);

	for (struct list *n = list_pop(&batch); n != NULL; n = list_pop(&batch))
	{
		struct mail *m = list_entry(n, struct mail, node);

		m->deliver(m);
	}
}

bool
loop_init(struct loop *l, int index, void *owner)
{
	l->ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (l->ev == NULL)
		return false;
	l->index = index;
	l->owner = owner;
	l->resolver = NULL;
	l->read_buffer = mem_alloc(LOOP_READ_SLACK + LOOP_READ_SIZE);
	lock_init(&l->mail_lock);
	list_init(&l->mailbox);
	l->interrupted = l->asking_again = false;
	ev_set_userdata(l->ev, l);
	ev_set_loop_release_cb(l->ev, NULL, turn_begins);
	ev_set_invoke_pending_cb(l->ev, turn);
	list_init(&l->handshakes);
	ev_init(&l->handshake_turn, NULL);
	ev_async_init(&l->wake, deliver_all);
	ev_set_priority(&l->wake, LOOP_IO_PRIORITY);
	l->wake.data = l;
	ev_async_start(l->ev, &l->wake);
	ev_unref(l->ev);
	return true;
}

void
loop_fini(struct loop *l)
{
	ev_ref(l->ev);
	ev_async_stop(l->ev, &l->wake);
	ev_loop_destroy(l->ev);
	lock_fini(&l->mail_lock);
	free(l->read_buffer);
	clock_turn_over();
}

void
loop_run(struct loop *l)
{
	/* The mailbox alone keeps a loop alive: a worker without clients waits for its first. */
	ev_ref(l->ev);
	ev_run(l->ev, 0);
	ev_unref(l->ev);
}

void
loop_stop(struct loop *l)
{
	ev_break(l->ev, EVBREAK_ALL);
}

void
loop_after(struct loop *l, ev_timer *w, uint64_t after_us)
{
	ev_timer_stop(l->ev, w);
	ev_now_update(l->ev);
	ev_timer_set(w, (double) after_us / 1e6, 0.);
	ev_timer_start(l->ev, w);
}

void
loop_post(struct loop *l, struct mail *mail, void (*deliver)(struct mail *mail))
{
	bool first;

	mail->deliver = deliver;
	lock_acquire(&l->mail_lock);
	first = list_empty(&l->mailbox);
	list_append(&l->mailbox, &mail->node);
	lock_release(&l->mail_lock);
	if (first)
		ev_async_send(l->ev, &l->wake);
}
