/*
 * conf_files.h - an ini file and its companions in memory, for the tests of conf/.
 */
#ifndef PERFKIT_TEST_CONF_FILES_H
#define PERFKIT_TEST_CONF_FILES_H

#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"

#include <stdio.h>
#include <string.h>

struct conf_file
{
	const char *path;
	const char *text;
};

struct conf_files
{
	const struct conf_file *files; /* ends with a NULL path */
	char warnings[8192];           /* one per line */
	int n_warnings;
};

static inline bool
conf_files_read(void *arg, const char *path, char **text, size_t *len, const char **why)
{
	const struct conf_files *f = arg;

	for (const struct conf_file *file = f->files; file->path != NULL; file++)
	{
		if (strcmp(file->path, path) == 0)
		{
			*text = mem_strdup(file->text);
			*len = strlen(file->text);
			return true;
		}
	}
	*why = "no such file in this test";
	return false;
}

static inline void
conf_files_warn(void *arg, const char *text)
{
	struct conf_files *f = arg;
	size_t used = strlen(f->warnings);

	snprintf(f->warnings + used, sizeof f->warnings - used, "%s\n", text);
	f->n_warnings++;
}

/* Loads "p.ini" out of the files. */
static inline struct conf *
conf_files_load(struct conf_files *f, struct conf_error *err)
{
	const struct conf_source source = {.read = conf_files_read, .warn = conf_files_warn, .arg = f};

	f->warnings[0] = '\0';
	f->n_warnings = 0;
	return conf_load_from(&source, "p.ini", err);
}

/* Loads one text as "p.ini". */
static inline struct conf *
conf_text_load(const char *text, struct conf_error *err)
{
	const struct conf_file files[] = {{"p.ini", text}, {NULL, NULL}};
	struct conf_files f = {.files = files};

	return conf_files_load(&f, err);
}

#endif
