/**
 * What the PostgreSQL store says to the database.
 *
 *   uuid        primary key; in order of time
 *   service     whom the request is for
 *   request     record: service | body…
 *   reply       record: body…; null while the request waits
 *   expires     ms since 1970
 *   held_until  claimed, or put back for a while, until then; by the database's clock, which all machines share
 *   holder      who claimed it
 *   attempts    claims so far
 *   damaged     set aside
 */

/** What is not answered and not set aside: the condition of the queue's index, word for word. */
const WAITING = "reply IS NULL AND NOT damaged";
const NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::float8";

export interface Statements {
  readonly create: readonly string[];
  readonly put: string;
  readonly answer: string;
  readonly forget: string;
  readonly claim: string;
  readonly release: string;
  readonly look: string;
  readonly setAside: string;
  readonly expire: string;
  readonly services: string;
}

/** @param table a plain identifier: it is written into the text */
export function statementsFor(table: string): Statements {
  return {
    create: [
      `CREATE TABLE IF NOT EXISTS ${table} (
         uuid uuid PRIMARY KEY,
         service bytea NOT NULL,
         request bytea NOT NULL,
         reply bytea,
         expires float8 NOT NULL,
         held_until timestamptz NOT NULL DEFAULT '-infinity',
         holder uuid,
         attempts integer NOT NULL DEFAULT 0,
         damaged boolean NOT NULL DEFAULT false
       )`,
      `CREATE INDEX IF NOT EXISTS ${table}_queue ON ${table} (service, uuid) WHERE ${WAITING}`,
      `CREATE INDEX IF NOT EXISTS ${table}_expiry ON ${table} (expires) WHERE NOT damaged`,
    ],
    put: `INSERT INTO ${table} (uuid, service, request, expires)
          SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::float8[])`,
    answer: `UPDATE ${table} AS kept SET reply = given.reply, expires = given.expires
             FROM unnest($1::uuid[], $2::bytea[], $3::float8[]) AS given (uuid, reply, expires)
             WHERE kept.uuid = given.uuid AND kept.reply IS NULL AND NOT kept.damaged AND kept.expires > ${NOW_MS}
             RETURNING kept.uuid`,
    forget: `DELETE FROM ${table} WHERE uuid = ANY ($1::uuid[]) AND NOT damaged`,
    // SKIP LOCKED: two machines that claim at once take different requests, and neither waits for the other.
    claim: `WITH picked AS MATERIALIZED (
              SELECT uuid FROM ${table}
              WHERE service = $1 AND ${WAITING} AND held_until <= clock_timestamp() AND expires > ${NOW_MS}
              ORDER BY uuid LIMIT $2 FOR UPDATE SKIP LOCKED
            )
            UPDATE ${table} AS kept
            SET held_until = clock_timestamp() + $3 * interval '1 millisecond', holder = $4,
                attempts = kept.attempts + 1
            FROM picked WHERE kept.uuid = picked.uuid
            RETURNING kept.uuid, kept.request, kept.attempts`,
    release: `UPDATE ${table} SET held_until = clock_timestamp() + $2 * interval '1 millisecond'
              WHERE uuid = $1 AND holder = $3 AND reply IS NULL`,
    look: `SELECT damaged, reply, request FROM ${table}
           WHERE uuid = $1 AND (damaged OR expires > ${NOW_MS})`,
    setAside: `UPDATE ${table} SET damaged = true WHERE uuid = $1 AND NOT damaged`,
    expire: `DELETE FROM ${table} WHERE uuid IN (
               SELECT uuid FROM ${table} WHERE expires <= ${NOW_MS} AND NOT damaged
               ORDER BY expires LIMIT $1 FOR UPDATE SKIP LOCKED
             )`,
    // Jumps from one service to the next in the index: its cost is theirs, not the requests'.
    services: `WITH RECURSIVE found AS (
                 (SELECT service FROM ${table} WHERE ${WAITING} ORDER BY service LIMIT 1)
                 UNION ALL
                 SELECT (SELECT next.service FROM ${table} AS next
                         WHERE next.service > found.service AND next.reply IS NULL AND NOT next.damaged
                         ORDER BY next.service LIMIT 1)
                 FROM found WHERE found.service IS NOT NULL
               )
               SELECT service FROM found WHERE service IS NOT NULL LIMIT $1`,
  };
}
