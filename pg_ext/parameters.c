/*-------------------------------------------------------------------------
 * parameters.c
 *	  Bind values to text.
 *
 *	  all of known types      -> format.c
 *	  others, and dynamic     -> output functions, guarded; should one fail,
 *								 once more with format.c alone
 *-------------------------------------------------------------------------
 */
#include "parameters.h"

#include "fmgr.h"
#include "format.h"
#include "guard.h"
#include "guc.h"
#include "mb/pg_wchar.h"
#include "redact.h"
#include "utils/lsyscache.h"

/* One run over the list. */
typedef struct Run
{
	PerfkitParameters *p;
	ParamListInfo params;
	bool output_functions;
} Run;


static void
put_mark(PerfkitParameters *p, char mark)
{
	if (p->size - p->length < 2)
	{
		p->cut = true;
		return;
	}
	p->out[p->length++] = mark;
	p->out[p->length++] = '\0';
	if (mark == '?')
		p->cut = true;
}


/* Writes a value with its passwords redacted, cut at a character. */
static void
put_value(PerfkitParameters *p, const char *text, Size length)
{
	PerfkitRedaction r;
	Size room = p->size - p->length;

	if (room < 3)
	{
		p->cut = true;
		return;
	}
	r = (PerfkitRedaction){
		.out = p->out + p->length + 1,
		.size = Min(room - 2, (Size) perfkit_max_parameter_size),
		.kind = PERFKIT_SECRET_VALUE,
	};
	perfkit_redact(&r, text, length);
	p->cut |= r.cut;
	p->out[p->length] = '=';
	p->out[p->length + 1 + r.length] = '\0';
	p->length += r.length + 2;
}


static void
put_parameter(const Run *run, const ParamExternData *parameter)
{
	char buffer[PERFKIT_FORMAT_SIZE];
	const char *text = NULL;
	Size length = 0;
	Oid function;
	bool is_varlena;

	if (parameter->isnull)
	{
		put_mark(run->p, 'n');
		return;
	}
	if (perfkit_format_knows(parameter->ptype))
		text = perfkit_format(parameter->ptype, parameter->value, buffer, &length, &run->p->cut);
	if (text == NULL && run->output_functions && OidIsValid(parameter->ptype))
	{
		getTypeOutputInfo(parameter->ptype, &function, &is_varlena);
		text = OidOutputFunctionCall(function, parameter->value);
		length = strlen(text);
	}
	if (text != NULL)
		put_value(run->p, text, length);
	else
		put_mark(run->p, '?');
}


static void
run_over(void *arg)
{
	const Run *run = arg;
	ParamListInfo params = run->params;

	run->p->length = 0;
	run->p->cut = false;
	for (int i = 0; i < params->numParams && run->p->length < run->p->size; i++)
	{
		if (params->paramFetch != NULL)
		{
			ParamExternData workspace;
			ParamExternData *fetched = params->paramFetch(params, i + 1, true, &workspace);

			/* Variables the statement does not use have no type. */
			if (OidIsValid(fetched->ptype))
				put_parameter(run, fetched);
		}
		else
			put_parameter(run, &params->params[i]);
	}
}


static bool
needs_output_functions(const ParamListInfoData *params)
{
	if (params->paramFetch != NULL)
		return true;
	for (int i = 0; i < params->numParams; i++)
	{
		const ParamExternData *parameter = &params->params[i];
		char buffer[PERFKIT_FORMAT_SIZE];
		Size length;
		bool cut;

		if (!parameter->isnull &&
			(!perfkit_format_knows(parameter->ptype) ||
			 perfkit_format(parameter->ptype, parameter->value, buffer, &length, &cut) == NULL))
			return true;
	}
	return false;
}


void
perfkit_parameters_take(PerfkitParameters *p, ParamListInfo params, bool healthy, Snapshot snapshot)
{
	Run run = {p, params, true};

	if (healthy && needs_output_functions(params) && perfkit_guard_possible() &&
		perfkit_guard(run_over, &run, snapshot))
		return;
	p->length = 0;
	p->cut = params->paramFetch != NULL;
	run.output_functions = false;
	if (params->paramFetch == NULL)
		run_over(&run);
}
