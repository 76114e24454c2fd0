/*-------------------------------------------------------------------------
 * host.c
 *	  perfkit._host(): CPU, memory and disk of the machine, as Linux tells them.
 *
 * What cannot be read is NULL: on other systems all but the disk.  In a container
 * the memory is what its control group (v2) may have, if that is less.
 *-------------------------------------------------------------------------
 */
#include "compat.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/fd.h"

#define CGROUP_ROOT "/sys/fs/cgroup"

PG_FUNCTION_INFO_V1(perfkit_host);

enum
{
	HOST_CPU,
	HOST_CPU_IDLE,
	HOST_LOAD1,
	HOST_MEMORY,
	HOST_MEMORY_AVAILABLE,
	HOST_MEMORY_RATIO,
	HOST_DISK,
	HOST_DISK_FREE,
	HOST_DISK_RATIO,
	HOST_N
};

/* One row on its way. */
typedef struct Cells
{
	Datum values[HOST_N];
	bool nulls[HOST_N];
} Cells;


static void
put(Cells *cells, int column, double value)
{
	cells->values[column] = Float8GetDatum(value);
	cells->nulls[column] = false;
}


/* The first of the lines that begins with `key`: what is behind it, as scanf's format wants it. */
static bool
find_line(const char *path, const char *key, char *line, int size)
{
	FILE *file = AllocateFile(path, "r");
	bool found = false;

	if (file == NULL)
		return false;
	while (!found && fgets(line, size, file) != NULL)
		found = strncmp(line, key, strlen(key)) == 0;
	FreeFile(file);
	return found;
}


static void
put_cpu(Cells *cells)
{
	char line[512];
	double user, nice, system, idle, iowait, irq, softirq, steal;
	double ticks = (double) sysconf(_SC_CLK_TCK);

	if (!find_line("/proc/stat", "cpu ", line, sizeof(line)) || ticks <= 0 ||
		sscanf(line, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &system, &idle, &iowait,
			   &irq, &softirq, &steal) != 8)
		return;
	put(cells, HOST_CPU, (user + nice + system + irq + softirq + steal) / ticks);
	put(cells, HOST_CPU_IDLE, (idle + iowait) / ticks);
}


static void
put_load(Cells *cells)
{
	char line[128];
	double load;

	if (find_line("/proc/loadavg", "", line, sizeof(line)) && sscanf(line, "%lf", &load) == 1)
		put(cells, HOST_LOAD1, load);
}


/* A number in a file of this process's control group, after `key`; false: none, or "max". */
static bool
cgroup_number(const char *group, const char *name, const char *key, double *out)
{
	char path[MAXPGPATH];
	char line[128];

	snprintf(path, sizeof(path), CGROUP_ROOT "%s/%s", group, name);
	return find_line(path, key, line, sizeof(line)) && sscanf(line + strlen(key), "%lf", out) == 1;
}


/* Lowers the two to what the control group leaves, if that is less. */
static void
heed_cgroup(double *total, double *available)
{
	char line[MAXPGPATH];
	double limit;
	double used;
	double cached = 0;
	char *group;

	if (!find_line("/proc/self/cgroup", "0::", line, sizeof(line)))
		return;
	group = line + strlen("0::");
	group[strcspn(group, "\n")] = '\0';
	if (!cgroup_number(group, "memory.max", "", &limit) ||
		!cgroup_number(group, "memory.current", "", &used) || limit >= *total)
		return;

	/* The kernel gives up unused file pages before it refuses memory. */
	(void) cgroup_number(group, "memory.stat", "inactive_file ", &cached);
	*total = limit;
	*available = Min(*available, Max(0, limit - used + cached));
}


static void
put_memory(Cells *cells)
{
	char line[128];
	double total;
	double available;

	if (!find_line("/proc/meminfo", "MemTotal:", line, sizeof(line)) ||
		sscanf(line, "MemTotal: %lf", &total) != 1 ||
		!find_line("/proc/meminfo", "MemAvailable:", line, sizeof(line)) ||
		sscanf(line, "MemAvailable: %lf", &available) != 1 || total <= 0)
		return;
	total *= 1024;
	available *= 1024;
	heed_cgroup(&total, &available);
	put(cells, HOST_MEMORY, total);
	put(cells, HOST_MEMORY_AVAILABLE, available);
	put(cells, HOST_MEMORY_RATIO, 1 - available / total);
}


/* As df counts: blocks kept for root belong to neither side. */
static void
put_disk(Cells *cells)
{
	struct statvfs fs;
	double used;
	double free;

	if (statvfs(DataDir, &fs) != 0 || fs.f_blocks == 0)
		return;
	used = (double) (fs.f_blocks - fs.f_bfree) * (double) fs.f_frsize;
	free = (double) fs.f_bavail * (double) fs.f_frsize;
	put(cells, HOST_DISK, (double) fs.f_blocks * (double) fs.f_frsize);
	put(cells, HOST_DISK_FREE, free);
	put(cells, HOST_DISK_RATIO, used + free > 0 ? used / (used + free) : 0);
}


/* perfkit._host(): one row, its columns as above. */
Datum
perfkit_host(PG_FUNCTION_ARGS)
{
	TupleDesc desc;
	Cells cells;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != HOST_N)
		elog(ERROR, "perfkit: _host() has other columns than its library");
	memset(cells.nulls, true, sizeof(cells.nulls));
	put_cpu(&cells);
	put_load(&cells);
	put_memory(&cells);
	put_disk(&cells);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), cells.values, cells.nulls));
}
