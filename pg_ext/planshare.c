/*-------------------------------------------------------------------------
 * planshare.c
 *	  Plans in chains of blocks, shown by one word for each backend.
 *
 *	  shown[backend] -> block -> block -> ...      blocks without owner are free
 *
 * PS1 A block belongs to who has put its number into `owner` by compare-and-swap
 *     and nobody else writes there, until that has put 0 back.
 * PS2 A backend changes its entry between two steps of `change`, which is odd
 *     meanwhile, and gives blocks back only after the entry has let go of them.
 *     Who reads copies and then looks whether `change` is what it was: if not, what
 *     was copied may be anybody's, and is thrown away unread.
 * PS3 The statement is named by its serial, which moves on when it ends or
 *     pauses: what is still there of it is nobody's plan then.
 *-------------------------------------------------------------------------
 */
#include "planshare.h"

#include "compat.h"
#include "guc.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"

#define BLOCK_SIZE 4096
#define NO_BLOCK 0 /* they are numbered from 1 on */
#define TRIES 3    /* to read what is being changed */

typedef struct Block
{
	pg_atomic_uint32 owner; /* number of a backend's entry, from 1 on; 0: free */
	uint32 next;
	char data[BLOCK_SIZE - sizeof(pg_atomic_uint32) - sizeof(uint32)];
} Block;

#define DATA_SIZE sizeof(((Block *) NULL)->data)

/* What a backend shows (PS2). */
typedef struct Shown
{
	pg_atomic_uint32 change;
	uint32 serial; /* 0: nothing */
	uint32 first;
	uint32 length;
	int64 plan_id;
	PerfkitPlanKind kind;
} Shown;

const PerfkitContent *perfkit_planshare_content = NULL;

static Shown *shown = NULL; /* one for each backend */
static Block *blocks = NULL;
static const char *my_plan = NULL; /* which of the content's plans; to be compared only */


static uint32
block_count(void)
{
	return (uint32) ((Size) perfkit_live_plan_memory * 1024 / BLOCK_SIZE);
}


static Size
shown_memory(void)
{
	return CACHELINEALIGN(mul_size(MaxBackends, sizeof(Shown)));
}


Size
perfkit_planshare_memory(void)
{
	return add_size(shown_memory(), mul_size(block_count(), sizeof(Block)));
}


void
perfkit_planshare_init(void *memory, bool fresh)
{
	shown = memory;
	blocks = (Block *) ((char *) memory + shown_memory());
	for (int i = 0; i < MaxBackends && fresh; i++)
		pg_atomic_init_u32(&shown[i].change, 0);
	for (uint32 i = 0; i < block_count() && fresh; i++)
		pg_atomic_init_u32(&blocks[i].owner, 0);
}


static Block *
block_at(uint32 number)
{
	return &blocks[number - 1];
}


static void
give_back(uint32 first)
{
	while (first != NO_BLOCK)
	{
		Block *block = block_at(first);

		first = block->next;
		pg_write_barrier();
		pg_atomic_write_u32(&block->owner, 0);
	}
}


/* A free block before number `below`, now ours; NO_BLOCK when there is none. */
static uint32
take_below(uint32 below)
{
	uint32 me = (uint32) PERFKIT_MY_PROC_NUMBER + 1;

	for (uint32 number = below - 1; number > 0; number--)
	{
		uint32 nobody = 0;

		if (pg_atomic_read_u32(&block_at(number)->owner) == 0 &&
			pg_atomic_compare_exchange_u32(&block_at(number)->owner, &nobody, me))
			return number;
	}
	return NO_BLOCK;
}


/* Copies the plan into blocks of ours; NO_BLOCK, and none taken, when there are too few. */
static uint32
copy_in(const char *plan, Size length)
{
	uint32 first = NO_BLOCK;
	uint32 number = block_count() + 1;
	Size n = (length + DATA_SIZE - 1) / DATA_SIZE;

	/* From the end of the text, so that each block knows its next. */
	for (; n > 0; n--)
	{
		Size at = (n - 1) * DATA_SIZE;

		number = take_below(number);
		if (number == NO_BLOCK)
		{
			give_back(first);
			return NO_BLOCK;
		}
		memcpy(block_at(number)->data, plan + at, Min(DATA_SIZE, length - at));
		block_at(number)->next = first;
		first = number;
	}
	return first;
}


static void
begin_change(Shown *mine)
{
	pg_atomic_fetch_add_u32(&mine->change, 1);
}


static void
end_change(Shown *mine)
{
	pg_atomic_fetch_add_u32(&mine->change, 1);
}


void
perfkit_planshare_clear(void)
{
	Shown *mine = &shown[PERFKIT_MY_PROC_NUMBER];
	uint32 first = mine->first;

	perfkit_planshare_content = NULL;
	my_plan = NULL;
	begin_change(mine);
	mine->serial = 0;
	mine->first = NO_BLOCK;
	end_change(mine);
	give_back(first);
}


static void
at_exit(int code, Datum arg)
{
	if (perfkit_planshare_content != NULL)
		perfkit_planshare_clear();
}


/* True if this backend has an entry, which is empty at its first use. */
static bool
ready(void)
{
	static bool known = false;

	if (MyProc == NULL || PERFKIT_MY_PROC_NUMBER < 0 || PERFKIT_MY_PROC_NUMBER >= MaxBackends)
		return false;
	if (!known)
		before_shmem_exit(at_exit, (Datum) 0);
	known = true;
	return block_count() > 0;
}


/* What is shown of this statement already is its plan under the new serial too. */
static void
go_on(uint32 serial)
{
	Shown *mine = &shown[PERFKIT_MY_PROC_NUMBER];

	if (mine->serial == serial)
		return;
	begin_change(mine);
	mine->serial = serial;
	end_change(mine);
}


void
perfkit_planshare_put(PerfkitDatabase *db, uint32 serial, const PerfkitContent *content)
{
	bool is_new = perfkit_planshare_content != content;
	Shown *mine;
	uint32 first;
	uint32 old;

	if (!ready())
		return;
	if (!is_new && my_plan == content->plan)
	{
		go_on(serial);
		return;
	}
	if (is_new && perfkit_planshare_content != NULL)
		perfkit_planshare_clear();
	mine = &shown[PERFKIT_MY_PROC_NUMBER];
	perfkit_planshare_content = content;
	my_plan = content->plan;
	first = copy_in(content->plan, content->plan_length);
	if (first == NO_BLOCK)
	{
		/* Once a statement; and the plan from before, if there is one, still tells something. */
		if (is_new || mine->first != NO_BLOCK)
			perfkit_count(db, PERFKIT_LIVE_PLANS_REFUSED, 1);
		go_on(serial);
		return;
	}
	old = mine->first;
	begin_change(mine);
	mine->serial = serial;
	mine->first = first;
	mine->length = (uint32) content->plan_length;
	mine->plan_id = content->plan_id;
	mine->kind = content->plan_kind;
	end_change(mine);
	give_back(old);
}


/* False when the chain is none: somebody changes it. */
static bool
copy_out(uint32 first, uint32 length, char *out)
{
	for (uint32 at = 0; at < length; at += DATA_SIZE)
	{
		if (first == NO_BLOCK || first > block_count())
			return false;
		memcpy(out + at, block_at(first)->data, Min(DATA_SIZE, length - at));
		first = block_at(first)->next;
	}
	out[length] = '\0';
	return true;
}


bool
perfkit_planshare_read(int index, uint32 serial, PerfkitPlanShown *out)
{
	Shown *entry = &shown[index];

	for (int i = 0; i < TRIES; i++)
	{
		uint32 change = pg_atomic_read_u32(&entry->change);
		Shown found;

		pg_read_barrier();
		found = *entry;
		pg_read_barrier();
		if ((change & 1) != 0 || pg_atomic_read_u32(&entry->change) != change)
			continue;
		if (found.serial != serial || found.first == NO_BLOCK)
			return false;
		*out = (PerfkitPlanShown){found.plan_id, found.kind, found.length};
		out->text = palloc((Size) found.length + 1);
		if (copy_out(found.first, found.length, out->text))
		{
			pg_read_barrier();
			if (pg_atomic_read_u32(&entry->change) == change)
				return true;
		}
		pfree(out->text);
	}
	return false;
}
