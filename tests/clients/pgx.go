// pgx with its defaults: a pool, statements that it prepares and caches, batches, transactions, COPY,
// contexts that cancel.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

func check(err error) {
	if err != nil {
		log.Panic(err)
	}
}

func expect(ok bool, what ...interface{}) {
	if !ok {
		log.Panic(what...)
	}
}

func state(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

func queries(ctx context.Context, pool *pgxpool.Pool, who int) {
	for n := 0; n < 60; n++ {
		var sum int
		check(pool.QueryRow(ctx, fmt.Sprintf("select $1::int + %d", n%20), who).Scan(&sum))
		expect(sum == who+n%20, "sum", sum)
	}
	batch := &pgx.Batch{}
	for n := 0; n < 30; n++ {
		batch.Queue("select $1::int * 2", n)
	}
	results := pool.SendBatch(ctx, batch)
	for n := 0; n < 30; n++ {
		var double int
		check(results.QueryRow().Scan(&double))
		expect(double == 2*n, "double", double)
	}
	check(results.Close())
}

func transactions(ctx context.Context, pool *pgxpool.Pool, who int) {
	check(pool.BeginFunc(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "insert into c_pgx (who, tags) values ($1, $2)", who, []string{"a", "b"})
		check(err)
		err = tx.BeginFunc(ctx, func(inner pgx.Tx) error {
			_, err := inner.Exec(ctx, "insert into c_pgx (id) select id from c_pgx limit 1")
			return err
		})
		expect(state(err) == "23505", err)
		var tags []string
		return tx.QueryRow(ctx, "select tags from c_pgx where who = $1", who).Scan(&tags)
	}))
	rows := [][]interface{}{{who, []string{"x"}}, {who, nil}}
	n, err := pool.CopyFrom(ctx, pgx.Identifier{"c_pgx"}, []string{"who", "tags"}, pgx.CopyFromRows(rows))
	check(err)
	expect(n == 2, "copied", n)
}

func failures(ctx context.Context, pool *pgxpool.Pool) {
	_, err := pool.Exec(ctx, "select 1/$1::int", 0)
	expect(state(err) == "22012", err)
	_, err = pool.Exec(ctx, "selec 1")
	expect(state(err) == "42601", err)
	// pgx ends the connection of a query whose context is over, and the pool makes a new one.
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = pool.Exec(short, "select pg_sleep(30)")
	expect(err != nil, "pg_sleep was not cancelled")
}

func main() {
	ctx := context.Background()
	pool, err := pgxpool.Connect(ctx, "pool_max_conns=10 sslmode=disable")
	check(err)
	_, err = pool.Exec(ctx, "create table c_pgx (id serial primary key, who int, tags text[])")
	check(err)
	_, err = pool.Exec(ctx, "insert into c_pgx (who) values (-1)")
	check(err)
	var all sync.WaitGroup
	for who := 0; who < 20; who++ {
		all.Add(1)
		go func(who int) {
			defer all.Done()
			queries(ctx, pool, who)
			transactions(ctx, pool, who)
			failures(ctx, pool)
		}(who)
	}
	all.Wait()
	var n int
	check(pool.QueryRow(ctx, "select count(*) from c_pgx").Scan(&n))
	expect(n == 61, "rows", n)
	_, err = pool.Exec(ctx, "drop table c_pgx")
	check(err)
	pool.Close()
}
