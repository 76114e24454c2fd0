/*-------------------------------------------------------------------------
 * statement_text.c
 *	  Out of the string a statement came in, by way of normalize.h and redact.h.
 *-------------------------------------------------------------------------
 */
#include "statement_text.h"

#include "guc.h"
#include "normalize.h"
#include "redact.h"
#include "source.h"


bool
perfkit_statement_text_make(const PerfkitExecution *e, PerfkitStatementText *text)
{
	Size room = (Size) perfkit_max_query_size;
	PerfkitRedaction redaction = {.size = room};
	const char *own;
	const char *raw;
	bool cut = false;
	int own_length;
	Size length;

	if (e->source == NULL)
		return false;
	text->bytes = malloc(2 * room);
	if (text->bytes == NULL)
		return false;
	own = perfkit_source_statement(e->source, e->location, e->length, &own_length);
	raw = text->bytes + room;
	length = perfkit_normalize(e->queryid, own, (Size) own_length, text->bytes + room, room, &cut);
	if (length == 0 && e->utility)
	{
		raw = own;
		length = (Size) own_length;
	}
	redaction.out = text->bytes;
	if (length > 0)
		perfkit_redact(&redaction, raw, length);
	text->length = redaction.length;
	text->cut = cut || redaction.cut;
	if (text->length == 0)
		perfkit_statement_text_free(text);
	return text->bytes != NULL;
}


void
perfkit_statement_text_free(PerfkitStatementText *text)
{
	free(text->bytes);
	text->bytes = NULL;
}
