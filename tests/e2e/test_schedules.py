"""Schedules of the extension against croniter: on what both understand, in UTC, they agree."""

import random
from datetime import datetime, timezone

from croniter import croniter

# Runs compared for each of so many schedules.
RUNS = 10
SCHEDULES = 400

BEGINNING = datetime(2026, 1, 1, 0, 0, tzinfo=timezone.utc)

FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def random_field(chance, low, high):
    first = chance.randint(low, high)
    last = chance.randint(first, high)
    return chance.choice(
        (
            "*",
            "*",
            str(first),
            f"{first}-{last}",
            f"{first}-{last}/{chance.randint(1, min(9, high))}",
            f"{last},{first}",
            f"*/{chance.randint(1, high // 2)}",
        )
    )


def random_schedule(chance):
    """Without what croniter has otherwise, and cron(5) by the first character alone: whether a day
    is any day. A star with a step is not one for croniter, a range of all days is."""
    fields = [random_field(chance, low, high) for low, high in FIELDS]
    for day in (2, 4):
        whole = "{}-{}".format(*FIELDS[day])
        if fields[day].startswith(("*", whole)):
            fields[day] = "*"
    return " ".join(fields)


def common_runs(schedule):
    try:
        runs = croniter(schedule, BEGINNING, max_years_between_matches=40)
        return [runs.get_next(datetime) for _ in range(RUNS)]
    except ValueError:  # no such day: "0 0 31 2 *"
        return None


def test_next_runs_agrees_with_croniter(cluster):
    chance = random.Random(20260101)
    expected = {}
    while len(expected) < SCHEDULES:
        schedule = random_schedule(chance)
        if (runs := common_runs(schedule)) is not None:
            expected[schedule] = runs

    with cluster.connect("app") as conn:
        conn.execute("create extension perfkit")
        try:
            rows = conn.execute(
                "select schedule, array_agg(run_at order by run_at)"
                " from unnest(%s::text[]) schedule,"
                " perfkit.next_runs(schedule, %s, %s, 'UTC') group by 1",
                (list(expected), RUNS, BEGINNING),
            ).fetchall()
        finally:
            conn.execute("drop extension perfkit")
    assert len(rows) == SCHEDULES
    differing = [(s, got, expected[s]) for s, got in rows if got != expected[s]]
    assert not differing, differing[:5]
