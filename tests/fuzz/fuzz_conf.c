/*
 * fuzz_conf.c - libFuzzer target: any bytes as an ini file, and as the auth_file and %include it
 * names.
 *
 * The bytes up to the first NUL are the ini file; every path it names is served with those behind
 * the NUL, or with itself when there is none. Whatever it is: no crash, no leak, an error text when
 * it is refused, and when it is not, every table and look-up of the snapshot works.
 */
#include "base/log.h"
#include "conf/conf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input
{
	const uint8_t *data;
	size_t size;
	int reads; /* an %include of itself doubles with each line; this bounds one run */
};

#define READS_MAX 64
#define INI_NAME "fuzz.ini"

static bool
read_input(void *arg, const char *path, char **text, size_t *len, const char **why)
{
	struct input *input = arg;

	const uint8_t *nul = memchr(input->data, '\0', input->size);
	const uint8_t *from = input->data;
	size_t n = input->size;

	if (input->reads++ == READS_MAX)
	{
		*why = "too many files";
		return false;
	}
	if (nul != NULL && strcmp(path, INI_NAME) == 0)
		n = (size_t) (nul - input->data);
	else if (nul != NULL)
	{
		from = nul + 1;
		n = input->size - (size_t) (from - input->data);
	}
	*text = mem_alloc(n + 1);
	memcpy(*text, from, n);
	*len = n;
	return true;
}

static void
drop_warning(void *arg, const char *text)
{
	(void) arg;
	if (text[0] == '\0')
		abort();
}

static void
drop_key(const char *key, void *arg)
{
	(void) key;
	(void) arg;
	/* A snapshot does not differ from itself. */
	abort();
}

static void
use(struct conf *c)
{
	struct conf_limits limits;
	struct conf_row row;

	for (int i = 0; conf_row(c, i, &row); i++)
	{
		if (row.is_null && row.value[0] != '\0')
			abort();
	}
	for (size_t i = 0; i < c->n_databases; i++)
	{
		if (conf_find_database(c, c->databases[i].name) != &c->databases[i])
			abort();
		conf_limits(c, &c->databases[i], "nobody", &limits);
		if (limits.pool_size < 0 || limits.pool_mode == POOL_MODE_UNSET)
			abort();
	}
	for (size_t i = 0; i < c->n_users; i++)
	{
		if (conf_find_user(c, c->users[i].name) != &c->users[i])
			abort();
		conf_limits(c, NULL, c->users[i].name, &limits);
	}
	conf_list_has(c->admin_users, "a");
	conf_keep_in_force(c, c, drop_key, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	const struct conf_source source = {
		.read = read_input,
		.warn = drop_warning,
		.arg = &input,
	};
	struct conf_error err;
	struct conf *c = conf_load_from(&source, INI_NAME, &err);

	if (c != NULL)
		use(c);
	else if (err.text[0] == '\0')
		abort();
	conf_free(c);
	return 0;
}
