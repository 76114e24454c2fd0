/*
 * load.c - from the ini file to a snapshot: conf_load().
 *
 *   file --ini_parse--> section, key, value --+-- main section --> option_set          --+
 *     ^                                       +-- [databases] … --> entry.c              +-->
 * struct conf
 *     +---- %include (depth 10) ----+         auth_file, at the end --> userlist.c     --+-->
 * check.c
 *
 * Any error ends the load and frees what was built: there is no half-read configuration. What was
 * read is wiped, as it holds secrets. A section goes on behind an %include, and an included file
 * starts in the section of its includer, as in PgBouncer.
 */
#include "conf/conf.h"

#include "base/log.h"
#include "base/str.h"
#include "conf/check.h"
#include "conf/entry.h"
#include "conf/hba.h"
#include "conf/ident.h"
#include "conf/ini.h"
#include "conf/option.h"
#include "conf/snapshot.h"
#include "conf/userlist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INCLUDE_DEPTH_MAX 10

/* A file larger than this is no configuration: a user list of a million users has 150 MB. */
#define FILE_SIZE_MAX ((size_t) 512 << 20)

/* Distinct keys without effect in [databases], [users] and [peers] together. */
#define IGNORED_MAX 64

/* Bytes of a value that does not come from a file. */
#define CONF_VALUE_MAX 1024

struct load;

typedef bool (*entry_fn)(struct load *load, const struct ini_place *at, const char *key,
						 char *value, struct conf_error *err);

struct section
{
	const char *name;
	entry_fn entry;
};

struct load
{
	struct conf *conf;
	const struct conf_source *source;
	const struct section *section; /* NULL before the first heading */
	int depth;                     /* of %include */
	struct ini_place *places;      /* per option: where it was set last */
	struct ini_place conf_place;   /* the file as a whole */
	const char *ignored[IGNORED_MAX];
	int n_ignored;
};

/* -- the main section ----------------------------------------------------------------------------
 */

/* A comment behind a value is not one, and the mistake is common. */
static const char *
comment_hint(const char *value)
{
	if (strstr(value, " ;") != NULL || strstr(value, " #") != NULL)
		return "; a comment stands on a line of its own";
	return "";
}

static bool
fail_value(const struct option *o, const struct ini_place *at, const char *value,
		   struct conf_error *err)
{
	char allowed[256];

	option_allowed(o, allowed, sizeof allowed);
	return ini_fail(err, at, "bad value \"%.100s\" for \"%s\"; allowed is %s%s", value, o->key,
					allowed, comment_hint(value));
}

static bool
main_entry(struct load *load, const struct ini_place *at, const char *key, char *value,
		   struct conf_error *err)
{
	int i = option_find(option_table, option_count, key);

	if (i < 0)
	{
		const char *nearest = option_nearest(option_table, option_count, key);

		if (nearest != NULL)
			return ini_fail(err, at, "unknown parameter \"%.100s\"; did you mean \"%s\"?", key,
							nearest);
		return ini_fail(err, at, "unknown parameter \"%.100s\"", key);
	}
	if (!option_set(&option_table[i], load->conf, snapshot_text(load->conf, value, strlen(value))))
		return fail_value(&option_table[i], at, value, err);
	load->places[i] = *at;
	return true;
}

/* -- the other sections --------------------------------------------------------------------------
 */

static void
warn_ignored(void *arg, const struct ini_place *at, const char *section, const char *key)
{
	struct load *load = arg;
	char text[512];

	for (int i = 0; i < load->n_ignored; i++)
	{
		if (load->ignored[i] == key)
			return;
	}
	if (load->source->warn == NULL || load->n_ignored == IGNORED_MAX)
		return;
	load->ignored[load->n_ignored++] = key;
	ini_say(text, sizeof text, at, "%s of a %s has no effect yet", key, section);
	load->source->warn(load->source->arg, text);
}

static struct entry_reader
reader_for(struct load *load)
{
	return (struct entry_reader){.conf = load->conf, .ignored = warn_ignored, .arg = load};
}

static bool
database_entry(struct load *load, const struct ini_place *at, const char *key, char *value,
			   struct conf_error *err)
{
	struct entry_reader r = reader_for(load);

	return entry_database(&r, at, key, value, err);
}

static bool
user_entry(struct load *load, const struct ini_place *at, const char *key, char *value,
		   struct conf_error *err)
{
	struct entry_reader r = reader_for(load);

	return entry_user(&r, at, key, value, err);
}

static bool
peer_entry(struct load *load, const struct ini_place *at, const char *key, char *value,
		   struct conf_error *err)
{
	struct entry_reader r = reader_for(load);

	return entry_peer(&r, at, key, value, err);
}

static const struct section sections[] = {
	{"pgbouncer", main_entry}, {"perfkit-pooler", main_entry}, {"databases", database_entry},
	{"users", user_entry},     {"peers", peer_entry},
};

#define SECTION_COUNT ((int) (sizeof sections / sizeof sections[0]))

/* -- files ---------------------------------------------------------------------------------------
 */

static bool load_file(struct load *load, const struct ini_place *at, const char *path,
					  struct conf_error *err);

static bool
on_section(void *arg, const struct ini_place *at, const char *name, struct conf_error *err)
{
	struct load *load = arg;
	const char *names[SECTION_COUNT];
	int nearest;

	for (int i = 0; i < SECTION_COUNT; i++)
	{
		names[i] = sections[i].name;
		if (strcmp(name, names[i]) == 0)
		{
			load->section = &sections[i];
			return true;
		}
	}
	nearest = str_nearest(name, names, SECTION_COUNT);
	if (nearest >= 0)
		return ini_fail(err, at, "unknown section \"%.100s\"; did you mean \"%s\"?", name,
						names[nearest]);
	return ini_fail(
		err, at,
		"unknown section \"%.100s\"; there are perfkit-pooler (or pgbouncer), databases, "
		"users and peers",
		name);
}

static bool
on_entry(void *arg, const struct ini_place *at, const char *key, char *value,
		 struct conf_error *err)
{
	struct load *load = arg;

	if (load->section == NULL)
		return ini_fail(err, at, "\"%.100s\" stands before the first section heading", key);
	return load->section->entry(load, at, key, value, err);
}

static bool
on_include(void *arg, const struct ini_place *at, const char *path, struct conf_error *err)
{
	struct load *load = arg;
	bool ok;

	if (load->depth == INCLUDE_DEPTH_MAX)
		return ini_fail(err, at, "more than %d files include each other", INCLUDE_DEPTH_MAX);
	load->depth++;
	ok = load_file(load, at, path, err);
	load->depth--;
	return ok;
}

/* A file as it was read, for conf_load_users(); in the arena. */
struct conf_file
{
	const char *path;
	const char *text;
	size_t len;
};

static void
keep_file(struct conf *c, const char *path, const char *text, size_t len)
{
	c->files = mem_realloc(c->files, (c->n_files + 1) * sizeof(*c->files));
	c->files[c->n_files++] = (struct conf_file){
		.path = snapshot_text(c, path, strlen(path)),
		.text = snapshot_text(c, text, len),
		.len = len,
	};
}

/* Reads a file named at `at`. The text is the caller's, to be given back with drop_text(). */
static bool
read_text(struct load *load, const struct ini_place *at, const char *path, char **text, size_t *len,
		  struct conf_error *err)
{
	const char *why = "unknown error";

	if (load->source->read(load->source->arg, path, text, len, &why))
		return true;
	return ini_fail(err, at, "cannot read \"%.300s\": %s", path, why);
}

static void
drop_text(char *text, size_t len)
{
	explicit_bzero(text, len);
	free(text);
}

static bool
load_file(struct load *load, const struct ini_place *at, const char *path, struct conf_error *err)
{
	const struct ini_reader reader = {
		.section = on_section,
		.entry = on_entry,
		.include = on_include,
		.arg = load,
	};
	/* Places of options outlive the file. */
	const char *name = snapshot_text(load->conf, path, strlen(path));
	char *text;
	size_t len;
	bool ok;

	if (!read_text(load, at, path, &text, &len, err))
		return false;
	keep_file(load->conf, path, text, len);
	ok = ini_parse(text, len, name, &reader, err);
	drop_text(text, len);
	return ok;
}

static const struct ini_place *
place_of(const struct load *load, const char *key)
{
	const struct ini_place *place = &load->places[option_find(option_table, option_count, key)];

	return place->file != NULL ? place : &load->conf_place;
}

static bool
load_users(struct load *load, struct conf_error *err)
{
	const char *path = load->conf->auth_file;
	char *text;
	size_t len;
	bool ok;

	if (path == NULL || *path == '\0')
		return true;
	if (!read_text(load, place_of(load, "auth_file"), path, &text, &len, err))
		return false;
	ok = userlist_parse(load->conf, text, len, path, err);
	drop_text(text, len);
	return ok;
}

/* What a line of the HBA file names; its text is parse's to free. */
static bool
read_named(void *arg, const char *path, char **text, size_t *len, const char **why)
{
	struct load *load = arg;

	if (!load->source->read(load->source->arg, path, text, len, why))
		return false;
	keep_file(load->conf, path, *text, *len);
	return true;
}

static bool
parse_hba(struct load *load, char *text, size_t len, const char *path, struct conf_error *err)
{
	const struct hba_source source = {.read = read_named, .arg = load};

	return hba_parse(load->conf, text, len, path, &source, err);
}

static bool
parse_ident(struct load *load, char *text, size_t len, const char *path, struct conf_error *err)
{
	return ident_parse(load->conf, text, len, path, err);
}

/* One of the two files with rules; nothing where none is named. */
static bool
load_rules(struct load *load, const char *key, const char *path,
		   bool (*parse)(struct load *, char *, size_t, const char *, struct conf_error *),
		   struct conf_error *err)
{
	char *text;
	size_t len;
	bool ok;

	if (load->conf->auth_type != AUTH_HBA || path == NULL || *path == '\0')
		return true;
	if (!read_text(load, place_of(load, key), path, &text, &len, err))
		return false;
	keep_file(load->conf, path, text, len);
	ok = parse(load, text, len, path, err);
	drop_text(text, len);
	return ok;
}

/* What was set on top of the file is part of the snapshot: a new auth_file does not end it. */
static bool
apply_settings(struct load *load, struct conf_error *err)
{
	static const struct ini_place at = {.file = "SET", .line = 0};
	const struct conf_source *source = load->source;
	struct conf *c = load->conf;
	char text[CONF_VALUE_MAX];

	if (source->n_settings == 0)
		return true;
	c->settings = mem_alloc(source->n_settings * sizeof(*c->settings));
	for (size_t i = 0; i < source->n_settings; i++)
	{
		const struct conf_setting *s = &source->settings[i];

		if (!str_copy(text, sizeof(text), s->value))
			return ini_fail(err, &at, "the value of \"%.100s\" is too long", s->key);
		if (!main_entry(load, &at, s->key, text, err))
			return false;
		c->settings[c->n_settings++] = (struct conf_setting){
			.key = snapshot_text(c, s->key, strlen(s->key)),
			.value = snapshot_text(c, s->value, strlen(s->value)),
		};
	}
	return true;
}

struct conf *
conf_load_from(const struct conf_source *source, const char *path, struct conf_error *err)
{
	struct load load = {
		.conf = snapshot_new(path),
		.source = source,
		.places = mem_zalloc((unsigned long) option_count * sizeof(struct ini_place)),
		.conf_place = {.file = path, .line = 0},
	};
	bool ok;

	err->text[0] = '\0';
	ok = load_file(&load, &load.conf_place, path, err) && apply_settings(&load, err) &&
		 load_users(&load, err) &&
		 load_rules(&load, "auth_hba_file", load.conf->auth_hba_file, parse_hba, err) &&
		 load_rules(&load, "auth_ident_file", load.conf->auth_ident_file, parse_ident, err) &&
		 check_options(load.conf, load.places, source->warn, source->arg, err);
	free(load.places);
	if (!ok)
	{
		conf_free(load.conf);
		return NULL;
	}
	if (load.conf->conffile == NULL || *load.conf->conffile == '\0')
		load.conf->conffile = load.conf->path;
	return load.conf;
}

/* -- the disk ------------------------------------------------------------------------------------
 */

/* Reads to the end of fd. Devices and pipes have no size to trust, so it grows; errno on failure.
 */
static bool
read_all(int fd, char **text, size_t *len)
{
	size_t cap = 8192;
	size_t used = 0;
	char *mem = mem_alloc(cap);
	ssize_t n;

	for (;;)
	{
		n = read(fd, mem + used, cap - used - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t) n;
		if (used > FILE_SIZE_MAX)
		{
			errno = EFBIG;
			n = -1;
			break;
		}
		if (cap - used < 2)
		{
			cap *= 2;
			mem = mem_realloc(mem, cap);
		}
	}
	if (n < 0)
	{
		drop_text(mem, used);
		return false;
	}
	*text = mem;
	*len = used;
	return true;
}

static bool
read_disk(void *arg, const char *path, char **text, size_t *len, const char **why)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	bool ok = false;

	(void) arg;
	/* A fifo without a writer would hold up the reload, and the main thread with it. */
	if (fd >= 0 && fstat(fd, &st) == 0)
	{
		if (S_ISREG(st.st_mode) || S_ISCHR(st.st_mode))
			ok = read_all(fd, text, len);
		else
			errno = S_ISDIR(st.st_mode) ? EISDIR : ESPIPE;
	}
	*why = ok ? "" : strerror(errno);
	if (fd >= 0)
		close(fd);
	return ok;
}

static void
warn_log(void *arg, const char *text)
{
	(void) arg;
	log_warning("%s", text);
}

struct conf *
conf_load(const char *path, bool log_warnings, struct conf_error *err)
{
	const struct conf_source disk = {
		.read = read_disk,
		.warn = log_warnings ? warn_log : NULL,
	};

	return conf_load_from(&disk, path, err);
}

/* -- auth_file alone
 * -------------------------------------------------------------------------------
 */

static bool
read_kept(void *arg, const char *path, char **text, size_t *len, const char **why)
{
	const struct conf *old = arg;

	for (size_t i = 0; i < old->n_files; i++)
		if (strcmp(old->files[i].path, path) == 0)
		{
			*len = old->files[i].len;
			*text = mem_alloc(*len + 1);
			memcpy(*text, old->files[i].text, *len);
			return true;
		}
	return read_disk(NULL, path, text, len, why);
}

struct conf *
conf_load_users(const struct conf *old, struct conf_error *err)
{
	const struct conf_source source = {
		.read = read_kept,
		.arg = (void *) old,
		.settings = old->settings,
		.n_settings = old->n_settings,
	};

	return conf_load_from(&source, old->path, err);
}

/* -- one setting
 * -----------------------------------------------------------------------------------
 */

struct conf *
conf_load_set(const struct conf *old, const char *key, const char *value, struct conf_error *err)
{
	size_t n = 0;
	struct conf_setting *settings = mem_alloc((old->n_settings + 1) * sizeof(*settings));
	struct conf_source source = {.read = read_kept, .arg = (void *) old, .settings = settings};
	int i = option_find(option_table, option_count, key);
	struct conf *c = NULL;

	for (size_t k = 0; k < old->n_settings; k++)
		if (strcmp(old->settings[k].key, key) != 0)
			settings[n++] = old->settings[k];
	settings[n++] = (struct conf_setting){.key = key, .value = value};
	source.n_settings = n;
	if (i >= 0 && option_table[i].restart)
		snprintf(err->text, sizeof(err->text), "\"%s\" needs a restart", key);
	else
		c = conf_load_from(&source, old->path, err);
	free(settings);
	return c;
}
