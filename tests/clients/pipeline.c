/*
 * pipeline.c - libpq in pipeline mode: many queries under way at once, statements prepared in the
 * middle of it, an error that skips the rest of its batch, results row by row.
 */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCHES 20
#define QUERIES 100

static PGconn *conn;

static _Noreturn void
fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, PQerrorMessage(conn));
	exit(1);
}

static void
expect(bool ok, const char *what)
{
	if (!ok)
		fail(what);
}

/* The next result, which must be of this kind; then the NULL that ends its query's results. */
static PGresult *
take(ExecStatusType wanted, const char *what)
{
	PGresult *r = PQgetResult(conn);

	if (PQresultStatus(r) != wanted)
	{
		fprintf(stderr, "%s: %s instead of %s: ", what, PQresStatus(PQresultStatus(r)),
				PQresStatus(wanted));
		fail(r != NULL ? PQresultErrorMessage(r) : "no result");
	}
	if (wanted != PGRES_PIPELINE_SYNC)
		expect(PQgetResult(conn) == NULL, what);
	return r;
}

static void
drop(ExecStatusType wanted, const char *what)
{
	PQclear(take(wanted, what));
}

static void
send_number(const char *statement, const char *sql, int n)
{
	char text[16];
	const char *const values[] = {text};

	snprintf(text, sizeof(text), "%d", n);
	if (statement != NULL)
		expect(PQsendQueryPrepared(conn, statement, 1, values, NULL, NULL, 0), "send prepared");
	else
		expect(PQsendQueryParams(conn, sql, 1, NULL, values, NULL, NULL, 0), "send");
}

static void
take_number(int n)
{
	PGresult *r = take(PGRES_TUPLES_OK, "a number");

	expect(PQntuples(r) == 1 && atoi(PQgetvalue(r, 0, 0)) == n, "the right number");
	PQclear(r);
}

/* Half of the queries unnamed, half through a statement of this batch. */
static void
batch(int b)
{
	char name[16];

	snprintf(name, sizeof(name), "s%d", b);
	expect(PQsendPrepare(conn, name, "select $1::int * 2", 1, NULL), "prepare");
	for (int i = 0; i < QUERIES; i++)
	{
		send_number(NULL, "select $1::int + 1", i);
		send_number(name, NULL, i);
	}
	expect(PQpipelineSync(conn), "sync");
}

static void
take_batch(void)
{
	drop(PGRES_COMMAND_OK, "prepared");
	for (int i = 0; i < QUERIES; i++)
	{
		take_number(i + 1);
		take_number(i * 2);
	}
	drop(PGRES_PIPELINE_SYNC, "the end of a batch");
}

static void
error_in_the_middle(void)
{
	send_number(NULL, "select $1::int", 1);
	send_number(NULL, "select 1 / $1::int", 0);
	send_number("s0", NULL, 3);
	expect(PQsendPrepare(conn, "never", "select 1", 0, NULL), "prepare");
	expect(PQpipelineSync(conn), "sync");
	send_number("s0", NULL, 4);
	expect(PQpipelineSync(conn), "sync");
	take_number(1);
	drop(PGRES_FATAL_ERROR, "division by zero");
	drop(PGRES_PIPELINE_ABORTED, "behind the error");
	drop(PGRES_PIPELINE_ABORTED, "a Parse behind the error");
	drop(PGRES_PIPELINE_SYNC, "the end of the failed batch");
	take_number(8);
	drop(PGRES_PIPELINE_SYNC, "the end of the next");
}

/* What was skipped was not done: its name is free, and it can be asked for. */
static void
after_the_error(void)
{
	expect(PQsendPrepare(conn, "never", "select 7", 0, NULL), "prepare again");
	expect(PQsendDescribePrepared(conn, "never"), "describe");
	expect(PQsendQueryPrepared(conn, "never", 0, NULL, NULL, NULL, 0), "run");
	expect(PQpipelineSync(conn), "sync");
	drop(PGRES_COMMAND_OK, "prepared again");
	drop(PGRES_COMMAND_OK, "described");
	take_number(7);
	drop(PGRES_PIPELINE_SYNC, "the end");
}

static void
transaction(void)
{
	static const char *const steps[] = {"begin", "create temp table t (n int) on commit drop",
										"insert into t values (1), (2)", "commit"};

	for (int i = 0; i < 4; i++)
		expect(PQsendQueryParams(conn, steps[i], 0, NULL, NULL, NULL, NULL, 0), steps[i]);
	expect(PQpipelineSync(conn), "sync");
	for (int i = 0; i < 4; i++)
		drop(PGRES_COMMAND_OK, steps[i]);
	drop(PGRES_PIPELINE_SYNC, "the transaction");
}

static void
row_by_row(void)
{
	PGresult *r;
	int n = 0;

	send_number(NULL, "select generate_series(1, $1::int)", 1000);
	expect(PQpipelineSync(conn), "sync");
	expect(PQsetSingleRowMode(conn), "row by row");
	while (PQresultStatus(r = PQgetResult(conn)) == PGRES_SINGLE_TUPLE)
	{
		n++;
		PQclear(r);
	}
	expect(PQresultStatus(r) == PGRES_TUPLES_OK && n == 1000, "a thousand rows");
	PQclear(r);
	expect(PQgetResult(conn) == NULL, "the end of the rows");
	drop(PGRES_PIPELINE_SYNC, "the end of the rows' batch");
}

int
main(void)
{
	/* Everything from the environment. */
	conn = PQconnectdb("");
	expect(PQstatus(conn) == CONNECTION_OK, "connect");
	expect(PQenterPipelineMode(conn), "pipeline mode");
	for (int b = 0; b < BATCHES; b++)
		batch(b);
	for (int b = 0; b < BATCHES; b++)
		take_batch();
	error_in_the_middle();
	after_the_error();
	transaction();
	row_by_row();
	expect(PQexitPipelineMode(conn), "out of pipeline mode");
	PQclear(PQexec(conn, "deallocate all"));
	PQfinish(conn);
	return 0;
}
