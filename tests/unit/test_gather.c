/*
 * test_gather.c - work on every loop and one finish, many at once; and what the registry gives to
 * all of them: shards by pid, and pools by name.
 */
#include "core/gather.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "conf_files.h"
#include "core/registry.h"
#include "turning.h"

#define SHARDS 4
#define ROUNDS 200

static struct registry registry;
static const uint8_t key[4] = {1, 2, 3, 4};
static _Atomic int worked;
static int finished;
static uint64_t seen;
static bool stopped;

static struct conf *
load(void)
{
	struct conf_error err;
	struct conf *conf = conf_text_load("[databases]\n* = host=127.0.0.1 pool_size=7\n"
									   "forced = host=127.0.0.1 user=owner pool_size=5\n"
									   "[pgbouncer]\nauth_type = trust\n",
									   &err);

	if (conf == NULL)
		fail_msg("%s", err.text);
	return conf;
}

static void *
body(void *arg)
{
	loop_run(&((struct shard *) arg)->loop);
	return NULL;
}

static void
work(struct gather_part *part)
{
	atomic_fetch_add(&worked, 1);
	part->count[0] = part->shard->loop.index + 1;
	/* On the right thread. */
	part->count[1] = pthread_equal(pthread_self(), part->shard->loop.thread) != 0;
	buf_append(&part->out, &part->shard->loop.index, sizeof(int));
}

static void
finish(struct gather *g)
{
	for (int i = 0; i < g->n; i++)
	{
		assert_ptr_equal(g->parts[i].shard, &registry.shards[i]);
		assert_int_equal(g->parts[i].count[0], i + 1);
		assert_int_equal(g->parts[i].count[1], 1);
		assert_int_equal(buf_len(&g->parts[i].out), sizeof(int));
	}
	seen += (uintptr_t) g->arg;
	finished++;
}

static void
stop_loop(struct gather_part *part)
{
	loop_stop(&part->shard->loop);
}

static void
all_stopped(struct gather *g)
{
	(void) g;
	stopped = true;
}

static bool
all_finished(const void *arg)
{
	return finished == *(const int *) arg;
}

static void
test_many_gathers(void **state)
{
	const int rounds = ROUNDS;
	struct conf *conf = load();

	(void) state;
	assert_true(registry_init(&registry, SHARDS, conf));
	for (int i = 0; i < SHARDS; i++)
		assert_int_equal(
			pthread_create(&registry.shards[i].loop.thread, NULL, body, &registry.shards[i]), 0);
	for (int i = 0; i < ROUNDS; i++)
		gather_start(&registry, &registry.main_loop, work, finish, (void *) (uintptr_t) (i + 1));
	assert_int_equal(finished, 0); /* never from within */
	turn_until(&registry.main_loop, all_finished, &rounds, "every gather to finish");
	assert_int_equal(atomic_load(&worked), ROUNDS * SHARDS);
	assert_int_equal(seen, ROUNDS * (ROUNDS + 1) / 2);
	gather_start(&registry, &registry.main_loop, stop_loop, all_stopped, NULL);
	turn_until(&registry.main_loop, is_true, &stopped, "the loops to stop");
	for (int i = 0; i < SHARDS; i++)
		assert_int_equal(pthread_join(registry.shards[i].loop.thread, NULL), 0);
	registry_fini(&registry);
	conf_free(conf);
}

/* With a peer_id they name that too, and sessions may share a pid as long as their keys differ. */
static void
test_pids_name_their_peer(void **state)
{
	static struct slot slots[SHARDS][500];
	struct conf *conf = load();
	uint8_t other[4] = {9, 9, 9, 9};

	(void) state;
	conf->peer_id = CONF_PEER_ID_MAX;
	assert_true(registry_init(&registry, SHARDS, conf));
	for (int i = 0; i < SHARDS; i++)
	{
		struct shard *s = &registry.shards[i];

		for (int k = 0; k < 500; k++)
		{
			struct slot *slot = &slots[i][k];

			registry_add(s, slot, key);
			assert_true(slot->pid > 0 && slot->pid <= 0x7fffffffu);
			assert_int_equal(registry_peer_of(slot->pid), CONF_PEER_ID_MAX);
			assert_ptr_equal(registry_shard(&registry, slot->pid), s);
			assert_ptr_equal(registry_find(s, slot->pid, key), slot);
			assert_null(registry_find(s, slot->pid, other));
		}
	}
	for (int i = 0; i < SHARDS; i++)
		for (int k = 0; k < 500; k++)
			registry_remove(&registry.shards[i], &slots[i][k]);
	registry_fini(&registry);
	conf_free(conf);
}

static void
test_pids_name_their_shard(void **state)
{
	static struct slot slots[SHARDS][500];
	struct conf *conf = load();

	(void) state;
	assert_true(registry_init(&registry, SHARDS, conf));
	for (int i = 0; i < SHARDS; i++)
	{
		struct shard *s = &registry.shards[i];

		/* Over the largest number and round again: clients read it as signed. */
		s->next_serial = 0x7fffffffu / SHARDS - 250;
		for (int k = 0; k < 500; k++)
		{
			registry_add(s, &slots[i][k], key);
			assert_true(slots[i][k].pid > 0 && slots[i][k].pid <= 0x7fffffffu);
			assert_ptr_equal(registry_shard(&registry, slots[i][k].pid), s);
		}
		for (int k = 0; k < 500; k++)
			assert_ptr_equal(registry_find(s, slots[i][k].pid, key), &slots[i][k]);
	}
	for (int i = 0; i < SHARDS; i++)
		for (int k = 0; k < 500; k++)
		{
			uint32_t pid = slots[i][k].pid;

			registry_remove(&registry.shards[i], &slots[i][k]);
			assert_null(registry_find(&registry.shards[i], pid, key));
			registry_remove(&registry.shards[i], &slots[i][k]);
		}
	registry_fini(&registry);
	conf_free(conf);
}

static void
test_pools_by_name(void **state)
{
	static const char *const names[][2] = {
		{"app", "orders"}, {"app", "order"}, {"ap", "porders"}, {"app", ""}, {"apporders", ""}};
	struct conf *conf = load();
	const struct conf_database *db;
	struct pool *pools[5];
	int n = 0;

	(void) state;
	assert_true(registry_init(&registry, 2, conf));
	db = conf_find_database(conf, "app");
	assert_non_null(db);
	for (int i = 0; i < 5; i++)
		pools[i] = registry_pool(&registry, conf, db, names[i][0], names[i][1]);
	for (int i = 0; i < 5; i++)
	{
		assert_ptr_equal(registry_pool(&registry, conf, db, names[i][0], names[i][1]), pools[i]);
		assert_string_equal(pools[i]->database, names[i][0]);
		assert_string_equal(pools[i]->user, names[i][1]);
		assert_int_equal(pools[i]->limits.size, 7);
		for (int k = 0; k < i; k++)
			assert_ptr_not_equal(pools[i], pools[k]);
		for (int k = 0; k < 2; k++)
		{
			struct pool_local *l = registry_local(&registry.shards[k], pools[i]);

			assert_ptr_equal(l->pool, pools[i]);
			assert_ptr_equal(l->shard, &registry.shards[k]);
			assert_int_equal(l->limits.pool_size, 7);
		}
	}
	registry_foreach_pool(e, &registry) n++;
	assert_int_equal(n, 5);
	/* One pool for all whose servers log in as the same user; beside it the one for replication. */
	db = conf_find_database(conf, "forced");
	pools[0] = registry_pool(&registry, conf, db, "forced", "alice");
	assert_string_equal(pools[0]->user, "owner");
	assert_int_equal(pools[0]->limits.size, 5);
	assert_ptr_equal(registry_pool(&registry, conf, db, "forced", "bob"), pools[0]);
	assert_ptr_equal(registry_pool(&registry, conf, db, "forced", "owner"), pools[0]);
	pools[1] = registry_replication_pool(&registry, conf, db, "forced", "alice");
	assert_ptr_equal(registry_replication_pool(&registry, conf, db, "forced", "bob"), pools[1]);
	assert_ptr_equal(atomic_load(&pools[0]->beside), pools[1]);
	assert_string_equal(pools[1]->user, "owner");
	db = conf_find_database(conf, "app");
	/* Made while everything is paused: paused. */
	atomic_store(&registry.paused_all, true);
	struct pool_counts c;

	pool_counts(registry_pool(&registry, conf, db, "app", "late"), &c);
	assert_true(c.paused);
	assert_int_equal(invariant_failures(), 0); /* P4 */
	registry_fini(&registry);
	conf_free(conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_gathers),
		cmocka_unit_test(test_pids_name_their_shard),
		cmocka_unit_test(test_pids_name_their_peer),
		cmocka_unit_test(test_pools_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
