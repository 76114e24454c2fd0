/*
 * fuzz_hba.c - any bytes as auth_hba_file, as a file that it names, and as auth_ident_file.
 *
 * The bytes up to the first NUL are the HBA file; every path is served with those behind it, or
 * with itself. Whatever it is: no crash, no leak, an error text when it is refused; and when it is
 * not, clients of all kinds find a rule or none.
 */
#include "base/log.h"
#include "conf/conf.h"
#include "conf/hba.h"
#include "conf/ident.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define READS_MAX 64
#define HBA_NAME "fuzz.hba"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char ini[] =
	"[pgbouncer]\nauth_type = hba\nauth_hba_file = " HBA_NAME "\nauth_ident_file = ident\n";

struct input
{
	const uint8_t *data;
	size_t size;
	int reads;
};

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
	if (strcmp(path, "fuzz.ini") == 0)
	{
		from = (const uint8_t *) ini;
		n = sizeof(ini) - 1;
	}
	else if (nul != NULL && strcmp(path, HBA_NAME) == 0)
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
use(const struct conf *c)
{
	static const char *const addresses[] = {NULL, "10.1.2.3", "::1", "fe80::1%eth0", "nonsense"};

	for (unsigned i = 0; i < 4 * sizeof(addresses) / sizeof(addresses[0]); i++)
	{
		const struct hba_client client = {
			.database = "app",
			.user = i % 2 == 0 ? "app" : "alice",
			.address = addresses[i / 4],
			.encrypted = i % 4 < 2,
			.physical = i % 3 == 0,
		};
		const struct hba_rule *r = hba_find(c, &client);

		if (r != NULL &&
			(r < c->hba || r >= c->hba + c->n_hba || hba_method_name(r->method) == NULL))
			abort();
		if (r != NULL && (client.address == NULL) != (r->connection == HBA_LOCAL))
			abort();
	}
	ident_allows(c, "m", "root", "alice");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	const struct conf_source source = {.read = read_input, .arg = &input};
	struct conf_error err;
	struct conf *c = conf_load_from(&source, "fuzz.ini", &err);

	if (c != NULL)
		use(c);
	else if (err.text[0] == '\0')
		abort();
	conf_free(c);
	return 0;
}
