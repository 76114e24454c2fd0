/*-------------------------------------------------------------------------
 * waits.c
 *	  Seconds by wait event.  There are more events than places: once those are
 *	  taken, the rest are one, called other.
 *-------------------------------------------------------------------------
 */
#include "waits.h"

#include "compat.h"

#define PLACES 48

typedef struct Place
{
	uint32 event;
	int64 ns;
} Place;

static Place places[PLACES];
static int n_places = 0;
static int64 other_ns = 0;


void
perfkit_waits_add(uint32 event, int64 ns)
{
	int i = 0;

	while (i < n_places && places[i].event != event)
		i++;
	if (i == PLACES)
	{
		other_ns += ns;
		return;
	}
	if (i == n_places)
		places[n_places++] = (Place){.event = event};
	places[i].ns += ns;
}


bool
perfkit_waits_get(int i, const char **type, const char **event, double *seconds)
{
	if (i > n_places || (i == n_places && n_places < PLACES))
		return false;
	*seconds = (double) (i < n_places ? places[i].ns : other_ns) / 1e9;
	if (i == n_places)
		*type = *event = "other";
	else if (places[i].event == 0)
		*type = *event = "CPU";
	else
	{
		*type = pgstat_get_wait_event_type(places[i].event);
		*event = pgstat_get_wait_event(places[i].event);
	}
	if (*type == NULL || *event == NULL)
		*type = *event = "unknown";
	return true;
}


void
perfkit_waits_clear(void)
{
	for (int i = 0; i < n_places; i++)
		places[i].ns = 0;
	other_ns = 0;
}
