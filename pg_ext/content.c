/*-------------------------------------------------------------------------
 * content.c
 *	  Taking and keeping of what a statement was executed with.
 *
 * Bind values are written into one static buffer and copied, so that an
 * execution holds no more than it has.
 *-------------------------------------------------------------------------
 */
#include "content.h"

#include "guc.h"
#include "parameters.h"


/* The execution's content, made at the first call; NULL when there is no memory. */
static PerfkitContent *
content_of(PerfkitExecution *e)
{
	if (e->content == NULL)
		e->content = calloc(1, sizeof(PerfkitContent));
	return e->content;
}


static void
take_parameters(PerfkitExecution *e, bool healthy, Snapshot snapshot)
{
	static char buffer[PERFKIT_MAX_PARAMETERS_SIZE];
	PerfkitParameters p = {.out = buffer, .size = sizeof(buffer)};
	PerfkitContent *content;

	if (!perfkit_capture_parameters || e->params == NULL || e->params->numParams <= 0)
		return;
	if (e->content != NULL && e->content->has_parameters)
		return;
	perfkit_parameters_take(&p, e->params, healthy, snapshot);
	if (p.length == 0 && !p.cut)
		return;
	content = content_of(e);
	if (content == NULL)
		return;
	content->parameters = malloc(Max(p.length, 1));
	if (content->parameters == NULL)
		return;
	memcpy(content->parameters, buffer, p.length);
	content->parameters_length = p.length;
	content->parameters_cut = p.cut;
	content->has_parameters = true;
}


void
perfkit_content_take_parameters(PerfkitExecution *e, Snapshot snapshot)
{
	take_parameters(e, true, snapshot);
}


void
perfkit_content_take_failed(PerfkitExecution *e)
{
	take_parameters(e, false, InvalidSnapshot);
}


void
perfkit_content_free(PerfkitExecution *e)
{
	if (e->content == NULL)
		return;
	free(e->content->parameters);
	free(e->content);
	e->content = NULL;
}
