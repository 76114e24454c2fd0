/*
 * registry.c - see registry.h.
 *
 * The remainder of the pid in a cancel key by the number of shards is the shard's index, so that
 * any loop that receives a CancelRequest knows at once whom to mail; the key itself is random and
 * is compared there. The rest of the pid is a serial number, or a peer_id and something random.
 */
#include "core/registry.h"

#include <openssl/rand.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/params.h"

#define PID_MAX 0x7fffffffu /* clients read it as a signed integer */
#define PEER_SHIFT 17       /* a peer_id stands in the bits above; 14 of them */
#define KEY_LEN (offsetof(struct slot, secret) + sizeof(uint32_t) - offsetof(struct slot, pid))

/* One entry of PAUSE db or DISABLE db. */
struct marked_database
{
	struct marked_database *next;
	char name[];
};

/* Where it stands, or the end of the list. pools_lock is held. */
static struct marked_database **
find_marked(struct marked_database **list, const char *database)
{
	while (*list != NULL && strcmp((*list)->name, database) != 0)
		list = &(*list)->next;
	return list;
}

static void
mark(struct marked_database **list, const char *database)
{
	struct marked_database **at = find_marked(list, database);

	if (*at != NULL)
		return;
	*at = mem_zalloc(sizeof(**at) + strlen(database) + 1);
	strcpy((*at)->name, database);
}

/* False: it was not there. */
static bool
unmark(struct marked_database **list, const char *database)
{
	struct marked_database **at = find_marked(list, database);
	struct marked_database *gone = *at;

	if (gone == NULL)
		return false;
	*at = gone->next;
	free(gone);
	return true;
}

static bool
is_paused(struct registry *r, const char *database)
{
	return atomic_load(&r->paused_all) || *find_marked(&r->paused, database) != NULL;
}

bool
registry_is_paused(struct registry *r, const char *database)
{
	bool paused;

	lock_acquire(&r->pools_lock);
	paused = is_paused(r, database);
	lock_release(&r->pools_lock);
	return paused;
}

bool
registry_any_paused(struct registry *r)
{
	bool any;

	lock_acquire(&r->pools_lock);
	any = r->paused != NULL;
	lock_release(&r->pools_lock);
	return any;
}

void
registry_disable(struct registry *r, const char *database, bool disable)
{
	lock_acquire(&r->pools_lock);
	if (disable)
		mark(&r->disabled, database);
	else
		unmark(&r->disabled, database);
	lock_release(&r->pools_lock);
}

bool
registry_is_disabled(struct registry *r, const char *database)
{
	bool disabled;

	lock_acquire(&r->pools_lock);
	disabled = *find_marked(&r->disabled, database) != NULL;
	lock_release(&r->pools_lock);
	return disabled;
}

bool
registry_matches(const struct pool *p, const char *database)
{
	return database[0] == '\0' || strcmp(p->database, database) == 0;
}

/* Under pools_lock, which a new pool is made under too: it starts paused, or it is found by the
 * caller's walk. */
static void
remember_paused(struct registry *r, const char *database)
{
	lock_acquire(&r->pools_lock);
	if (database[0] == '\0')
		atomic_store(&r->paused_all, true);
	else
		mark(&r->paused, database);
	lock_release(&r->pools_lock);
}

/* False: it was not paused. RESUME of all ends every PAUSE. */
static bool
forget_paused(struct registry *r, const char *database)
{
	bool was;

	lock_acquire(&r->pools_lock);
	if (database[0] != '\0')
		was = unmark(&r->paused, database);
	else
	{
		was = atomic_exchange(&r->paused_all, false);
		while (r->paused != NULL)
			was = unmark(&r->paused, r->paused->name);
	}
	lock_release(&r->pools_lock);
	return was;
}

bool
registry_init(struct registry *r, int n_shards, const struct conf *conf)
{
	memset(r, 0, sizeof(*r));
	r->conf = conf;
	r->started_us = clock_now_us();
	params_track(conf->track_extra_parameters);
	lock_init(&r->pools_lock);
	registry_init_quotas(r, conf);
	rates_init(&r->rates);
	if (RAND_bytes(r->mock_key, sizeof(r->mock_key)) != 1 ||
		!loop_init(&r->main_loop, POOL_NO_LOOP, r))
		return false;
	r->shards = mem_zalloc((size_t) n_shards * sizeof(*r->shards));
	for (int i = 0; i < n_shards; i++)
	{
		struct shard *s = &r->shards[i];

		if (!loop_init(&s->loop, i, s))
			return false;
		s->registry = r;
		s->conf = conf;
		s->no_pool = stats_kept_new();
		list_init(&s->sessions);
		list_init(&s->walks);
		list_init(&s->servers);
		list_init(&s->logins);
		list_init(&s->cancels);
		list_init(&s->abandoned);
		RAND_bytes((unsigned char *) &s->next_serial, sizeof(s->next_serial));
		r->n_shards = i + 1;
	}
	return true;
}

void
registry_fini(struct registry *r)
{
	struct pool_entry *e;

	for (int i = 0; i < r->n_shards; i++)
	{
		loop_fini(&r->shards[i].loop);
		meter_fini(&r->shards[i].no_pool_meter);
		free(r->shards[i].no_pool);
	}
	HASH_CLEAR(hh, r->by_name);
	while ((e = atomic_load(&r->pools)) != NULL)
		registry_drop(r, e);
	registry_free_left(r);
	free(r->shards);
	forget_paused(r, "");
	while (r->disabled != NULL)
		unmark(&r->disabled, r->disabled->name);
	registry_free_quotas(r);
	rates_fini(&r->rates);
	loop_fini(&r->main_loop);
	lock_fini(&r->pools_lock);
}

void
registry_pool_limits(const struct conf *conf, const struct conf_limits *limits,
					 struct pool_limits *out)
{
	out->size = limits->pool_size;
	out->reserve = limits->reserve_pool_size;
	out->reserve_timeout_us = limits->reserve_pool_size > 0 ? conf->reserve_pool_timeout_us : 0;
	out->min = limits->min_pool_size;
	out->min_always = limits->forced_user;
	out->max_waiting = limits->max_client_waiting;
	out->login_concurrency = conf->server_login_concurrency;
	out->round_robin = conf->server_round_robin;
	out->login_retry_us = conf->server_login_retry_us;
}

void
registry_pause(struct registry *r, const char *database)
{
	remember_paused(r, database);
	registry_foreach_pool(e, r) if (registry_matches(&e->pool, database)) pool_pause(&e->pool);
}

bool
registry_resume(struct registry *r, const char *database,
				void (*wake)(const struct pool_todo *todo))
{
	bool was = forget_paused(r, database);

	registry_foreach_pool(e, r)
	{
		struct pool_todo todo;

		if (!registry_matches(&e->pool, database))
			continue;
		pool_resume(&e->pool, &todo);
		wake(&todo);
	}
	return was;
}

static struct pool_local *
new_locals(struct registry *r, struct pool *pool, const struct conf_limits *limits)
{
	size_t size = (size_t) r->n_shards * sizeof(struct pool_local);
	struct pool_local *local = aligned_alloc(STATS_ALIGN, size);

	if (local == NULL)
		abort();
	memset(local, 0, size);
	for (int i = 0; i < r->n_shards; i++)
	{
		local[i].shard = &r->shards[i];
		local[i].pool = pool;
		local[i].limits = *limits;
	}
	return local;
}

/* A new entry, visible to everyone once it is complete. pools_lock is held. */
static struct pool_entry *
add_pool(struct registry *r, const struct conf *conf, const struct conf_database *db,
		 const struct pool_name *name)
{
	struct pool_entry *e = mem_zalloc(sizeof(*e));
	struct pool_limits pool_limits;
	struct conf_limits limits;

	conf_limits(conf, db, name->user, &limits);
	registry_pool_limits(conf, &limits, &pool_limits);
	if (name->replication)
		pool_limits.min = 0; /* nothing is kept there */
	pool_init(&e->pool, name, &pool_limits, r->n_shards);
	welcome_box_init(&e->welcome);
	credentials_init(&e->credentials);
	e->local = new_locals(r, &e->pool, &limits);
	e->pool.local = e->local;
	registry_seat(r, conf, &e->pool);
	e->pool.replication = name->replication;
	/* Nobody knows it yet, so its own lock is not needed: locks never nest (P4). */
	e->pool.counts.paused = is_paused(r, name->database);
	atomic_store(&e->next, atomic_load(&r->pools));
	atomic_store(&r->pools, e);
	return e;
}

static struct pool *
find_pool(struct registry *r, const struct conf *conf, const struct conf_database *db,
		  const struct pool_name *name)
{
	const char *database = name->database;
	const char *user = name->user;
	size_t db_len = strlen(database) + 1;
	size_t key_len = db_len + strlen(user) + name->replication; /* with the zero byte, if so */
	char *key = mem_alloc(key_len + 1);
	struct pool_entry *e;

	memcpy(key, database, db_len);
	strcpy(key + db_len, user);
	lock_acquire(&r->pools_lock);
	HASH_FIND(hh, r->by_name, key, key_len, e);
	if (e == NULL)
	{
		e = add_pool(r, conf, db, name);
		e->name = key;
		HASH_ADD_KEYPTR(hh, r->by_name, e->name, key_len, e);
		key = NULL;
	}
	e->users++;
	e->uses++;
	lock_release(&r->pools_lock);
	free(key);
	return &e->pool;
}

/* Whoever the clients are, their servers log in as the forced user: one pool serves them all. */
static const char *
user_of(const struct conf_database *db, const char *user)
{
	return db->user != NULL ? db->user : user;
}

struct pool *
registry_pool(struct registry *r, const struct conf *conf, const struct conf_database *db,
			  const char *database, const char *user)
{
	const struct pool_name name = {
		.database = database,
		.user = user_of(db, user),
	};

	return find_pool(r, conf, db, &name);
}

struct pool *
registry_replication_pool(struct registry *r, const struct conf *conf,
						  const struct conf_database *db, const char *database, const char *user)
{
	const struct pool_name name = {
		.database = database,
		.user = user_of(db, user),
		.replication = true,
	};
	struct pool *p = find_pool(r, conf, db, &name);
	struct pool *ordinary = registry_pool(r, conf, db, database, user);
	struct pool_entry *e = list_entry(p, struct pool_entry, pool);
	bool first;

	lock_acquire(&r->pools_lock);
	first = e->ordinary == NULL;
	if (first)
	{
		/* It is a user of that one, which SHOW POOLS finds it by. */
		e->ordinary = list_entry(ordinary, struct pool_entry, pool);
		atomic_store(&ordinary->beside, p);
	}
	lock_release(&r->pools_lock);
	if (!first)
		registry_leave(ordinary);
	return p;
}

void
registry_leave(struct pool *p)
{
	struct pool_entry *e = list_entry(p, struct pool_entry, pool);

	INVARIANT(e->users > 0, "P11");
	e->users--;
}

void
registry_add_kept(struct registry *r, const struct conf *conf)
{
	for (size_t i = 0; i < conf->n_databases; i++)
	{
		const struct conf_database *db = &conf->databases[i];
		struct conf_limits limits;

		/* "*" stands for names that are not known yet. */
		if (db->user == NULL || strcmp(db->name, "*") == 0)
			continue;
		conf_limits(conf, db, db->user, &limits);
		if (limits.min_pool_size > 0)
			registry_leave(registry_pool(r, conf, db, db->name, db->user));
	}
}

struct welcome_box *
registry_welcome(struct pool *p)
{
	return &list_entry(p, struct pool_entry, pool)->welcome;
}

struct credentials *
registry_credentials(struct pool *p)
{
	return &list_entry(p, struct pool_entry, pool)->credentials;
}

_Atomic uint32_t *
registry_host_turn(struct pool *p)
{
	return &list_entry(p, struct pool_entry, pool)->host_turn;
}

struct pool_local *
registry_local(struct shard *s, struct pool *p)
{
	return (struct pool_local *) p->local + s->loop.index;
}

void
registry_encrypt(struct registry *r, struct encryption *e)
{
	r->encryption = e;
	for (int i = 0; i < r->n_shards; i++)
		r->shards[i].encryption = e;
}

void
registry_adopt(struct shard *s, const struct conf *conf, const struct encryption *encryption)
{
	if (s->conf != conf)
		s->conf_serial++;
	s->conf = conf;
	s->encryption = encryption;
	client_limits_adopt(s->client_limits, conf);
	registry_foreach_pool(e, s->registry)
	{
		const struct conf_database *db = conf_find_database(conf, e->pool.database);

		/* A database that is gone keeps its limits until its last session has left. */
		if (db != NULL)
			conf_limits(conf, db, e->pool.user, &e->local[s->loop.index].limits);
	}
}

int
registry_peer_of(uint32_t pid)
{
	return (int) (pid >> PEER_SHIFT);
}

/* Any pid of this peer and shard. */
static uint32_t
pid_of_peer(struct shard *s, uint32_t peer)
{
	uint32_t n = (uint32_t) s->registry->n_shards;
	uint32_t low;
	uint32_t pid;

	if (RAND_bytes((unsigned char *) &low, sizeof(low)) != 1)
		low = s->next_serial++;
	/* Room for the next step down, so that it does not leave the peer's range. */
	low = n + low % ((1u << PEER_SHIFT) - n);
	pid = peer << PEER_SHIFT | low;
	pid -= pid % n;
	return pid + (uint32_t) s->loop.index < (peer + 1) << PEER_SHIFT
			   ? pid + (uint32_t) s->loop.index
			   : pid - n + (uint32_t) s->loop.index;
}

static uint32_t
next_pid(struct shard *s)
{
	uint32_t n = (uint32_t) s->registry->n_shards;
	uint32_t serials = PID_MAX / n - 1;

	if (s->conf->peer_id > 0)
		return pid_of_peer(s, (uint32_t) s->conf->peer_id);
	s->next_serial = s->next_serial % serials + 1;
	return s->next_serial * n + (uint32_t) s->loop.index;
}

void
registry_add(struct shard *s, struct slot *slot, const uint8_t *key)
{
	memcpy(&slot->secret, key, sizeof(slot->secret));
	do
		slot->pid = next_pid(s);
	while (registry_find(s, slot->pid, key) != NULL);
	HASH_ADD(hh, s->by_key, pid, KEY_LEN, slot);
}

void
registry_remove(struct shard *s, struct slot *slot)
{
	if (slot->pid == 0)
		return;
	HASH_DELETE(hh, s->by_key, slot);
	slot->pid = 0;
}

struct slot *
registry_find(struct shard *s, uint32_t pid, const uint8_t *key)
{
	struct slot wanted = {.pid = pid};
	struct slot *slot;

	memcpy(&wanted.secret, key, sizeof(wanted.secret));
	HASH_FIND(hh, s->by_key, &wanted.pid, KEY_LEN, slot);
	return slot;
}

struct shard *
registry_shard(struct registry *r, uint32_t pid)
{
	return &r->shards[pid % (uint32_t) r->n_shards];
}
