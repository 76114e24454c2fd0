// node-postgres as web applications use it: a pool, parameters, named statements, transactions, errors,
// types, notifications.
'use strict';
const assert = require('assert');
const { Pool, Client } = require('pg');

async function work(pool, who) {
  for (let n = 0; n < 20; n++) {
    const r = await pool.query('select $1::int + $2::int as sum', [who, n]);
    assert.strictEqual(r.rows[0].sum, who + n);
    const named = { name: `named ${n % 5}`, text: `select $1::text as t, ${n % 5} as n`, values: [`${who}`] };
    assert.deepStrictEqual((await pool.query(named)).rows, [{ t: `${who}`, n: n % 5 }]);
  }
  const client = await pool.connect();
  try {
    await client.query('begin');
    await client.query('insert into c_node (who, doc) values ($1, $2)', [who, { a: [1, 'zwei', null] }]);
    await client.query('savepoint one');
    await assert.rejects(client.query('insert into c_node (id) select id from c_node limit 1'), { code: '23505' });
    await client.query('rollback to one');
    const { rows } = await client.query('select doc from c_node where who = $1', [who]);
    assert.deepStrictEqual(rows[0].doc, { a: [1, 'zwei', null] });
    await client.query('commit');
  } finally {
    client.release();
  }
  const when = new Date('2026-02-28T12:34:56.789Z');
  const types = await pool.query('select $1::timestamptz as at, $2::bytea as b, $3::int[] as l, $4::bool as y',
    [when, Buffer.from([0, 255]), [1, 2, 3], true]);
  assert.deepStrictEqual(types.rows[0], { at: when, b: Buffer.from([0, 255]), l: [1, 2, 3], y: true });
  await assert.rejects(pool.query('select 1/$1::int', [0]), { code: '22012' });
  // A statement that does not parse, then the same name with one that does.
  await assert.rejects(pool.query({ name: `bad ${who}`, text: 'selec 1' }), { code: '42601' });
  assert.strictEqual((await pool.query('select 1 as one')).rows[0].one, 1);
}

async function notifications() {
  const listener = new Client();
  await listener.connect();
  const heard = new Promise((resolve) => listener.on('notification', resolve));
  await listener.query('listen node_bell');
  const other = new Client();
  await other.connect();
  await other.query("select pg_notify('node_bell', 'rings')");
  assert.strictEqual((await heard).payload, 'rings');
  await listener.query('unlisten node_bell');
  await Promise.all([listener.end(), other.end()]);
}

async function main() {
  const pool = new Pool({ max: 8 });
  await pool.query('create table if not exists c_node (id serial primary key, who int, doc jsonb)');
  await pool.query('insert into c_node (who) values (-1)');
  await Promise.all(Array.from({ length: 12 }, (_, who) => work(pool, who)));
  const { rows } = await pool.query('select count(*)::int as n from c_node');
  assert.strictEqual(rows[0].n, 13);
  await notifications();
  await pool.query('drop table c_node');
  await pool.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
