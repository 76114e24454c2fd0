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

/* How many pools a walk meets. */
static int
met(void)
{
	int n = 0;

	registry_foreach_pool(e, &registry) n++;
	return n;
}

static struct pool_entry *
entry_of(struct pool *p)
{
	return list_entry(p, struct pool_entry, pool);
}

/* The steps of its end: not for one that is held, or was found meanwhile; a new one of its name is
 * another. */
static void
test_pools_are_forgotten(void **state)
{
	struct conf *conf = load();
	const struct conf_database *db;
	struct pool *pools[3];
	struct pool_todo todo;
	struct buf names;
	int64_t servers;
	int64_t clients;

	(void) state;
	assert_true(registry_init(&registry, 2, conf));
	db = conf_find_database(conf, "app");
	pools[0] = registry_pool(&registry, conf, db, "app", "alice");
	pools[1] = registry_pool(&registry, conf, db, "app", "bob");
	assert_false(registry_take_out(&registry, entry_of(pools[0]), 1)); /* it has a user */
	registry_leave(pools[0]);
	assert_false(registry_take_out(&registry, entry_of(pools[0]), 0)); /* found meanwhile */
	pools[0]->held++;
	assert_false(registry_take_out(&registry, entry_of(pools[0]), 1)); /* a server is left */
	pools[0]->held--;
	assert_true(registry_take_out(&registry, entry_of(pools[0]), 1));
	assert_false(entry_of(pools[0])->last_of_database);
	pools[2] = registry_pool(&registry, conf, db, "app", "alice");
	assert_ptr_not_equal(pools[2], pools[0]);
	assert_int_equal(met(), 3);
	registry_drop(&registry, entry_of(pools[0]));
	assert_int_equal(met(), 2);
	assert_ptr_equal(atomic_load(&entry_of(pools[0])->next), NULL);
	pool_want(pools[0], 1, &todo); /* by one who stands on it still */
	assert_false(todo.dial);
	registry_free_left(&registry);
	/* The others, and the database with them. */
	for (int i = 1; i < 3; i++)
	{
		registry_leave(pools[i]);
		assert_true(registry_take_out(&registry, entry_of(pools[i]), 1));
		registry_drop(&registry, entry_of(pools[i]));
	}
	assert_true(entry_of(pools[2])->last_of_database);
	registry_free_left(&registry);
	buf_init(&names);
	registry_database_names(&registry, &names);
	assert_int_equal(buf_len(&names), 0);
	registry_quota_counts(&registry, QUOTA_USER, "alice", &servers, &clients);
	assert_null(registry.quotas[QUOTA_USER]);
	assert_null(registry.quotas[QUOTA_DATABASE]);
	assert_int_equal(invariant_failures(), 0);
	registry_fini(&registry);
	conf_free(conf);
}

/* The one for replication holds the ordinary one, and the next of its name takes its place. */
static void
test_pools_beside_are_forgotten(void **state)
{
	struct conf *conf = load();
	const struct conf_database *db;
	struct pool *ordinary;
	struct pool *first;
	struct pool *second;

	(void) state;
	assert_true(registry_init(&registry, 2, conf));
	db = conf_find_database(conf, "app");
	ordinary = registry_pool(&registry, conf, db, "app", "alice");
	first = registry_replication_pool(&registry, conf, db, "app", "alice");
	registry_leave(ordinary);
	registry_leave(first);
	assert_false(registry_take_out(&registry, entry_of(ordinary), 2));
	assert_true(registry_take_out(&registry, entry_of(first), 1));
	second = registry_replication_pool(&registry, conf, db, "app", "alice");
	assert_ptr_equal(atomic_load(&ordinary->beside), second);
	registry_drop(&registry, entry_of(first));
	registry_free_left(&registry);
	assert_ptr_equal(atomic_load(&ordinary->beside), second);
	registry_leave(second);
	assert_true(registry_take_out(&registry, entry_of(second), 1));
	assert_false(registry_take_out(&registry, entry_of(ordinary), 3));
	registry_drop(&registry, entry_of(second));
	assert_null(atomic_load(&ordinary->beside));
	assert_true(registry_take_out(&registry, entry_of(ordinary), 3));
	assert_int_equal(invariant_failures(), 0);
	registry_fini(&registry); /* with one at every step */
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
		cmocka_unit_test(test_pools_are_forgotten),
		cmocka_unit_test(test_pools_beside_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
