/**
 * Statements of the PostgreSQL store.
 *
 *   uuid        primary key, in order of time
 *   service     destination
 *   request     record: service | body…
 *   reply       record: body…; null while pending
 *   expires     ms since 1970
 *   held_until  end of a claim or delay, by the database's clock, which all machines share
 *   holder      the store that has claimed it; null without a claim
 *   attempts    failed attempts
 *   died        ms since 1970 when it became a dead letter; null otherwise
 *   reason      UTF-8 of its last failure; as a text it would fail where the database's encoding lacks a letter
 */

/** Exactly the condition of the queue's index. */
const WAITING = "reply IS NULL AND died IS NULL";
const NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::float8";

export type Statements = ReturnType<typeof statementsFor>;

/** @param table a plain identifier; it becomes part of the text */
export function statementsFor(table: string) {
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
         died float8,
         reason bytea
       )`,
      `CREATE INDEX IF NOT EXISTS ${table}_waiting ON ${table} (service, uuid) WHERE ${WAITING}`,
      `CREATE INDEX IF NOT EXISTS ${table}_dead ON ${table} (uuid) WHERE died IS NOT NULL`,
      `CREATE INDEX IF NOT EXISTS ${table}_expiry ON ${table} (expires)`,
    ],
    put: `INSERT INTO ${table} (uuid, service, request, expires)
          SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::float8[])
          ON CONFLICT (uuid) DO NOTHING RETURNING uuid`,
    answer: `UPDATE ${table} AS kept SET reply = given.reply, expires = given.expires
             FROM unnest($1::uuid[], $2::bytea[], $3::float8[]) AS given (uuid, reply, expires)
             WHERE kept.uuid = given.uuid AND kept.reply IS NULL AND kept.died IS NULL
               AND kept.expires > ${NOW_MS}
             RETURNING kept.uuid`,
    forget: `DELETE FROM ${table} WHERE uuid = ANY ($1::uuid[])`,
    claim: `WITH picked AS MATERIALIZED (
              SELECT uuid, octet_length(request) AS bytes FROM ${table}
              WHERE service = $1 AND ${WAITING} AND held_until <= clock_timestamp() AND expires > ${NOW_MS}
              ORDER BY uuid LIMIT $2 FOR UPDATE SKIP LOCKED
            ), summed AS (
              SELECT uuid, sum(bytes) OVER (ORDER BY uuid) - bytes AS before FROM picked
            )
            UPDATE ${table} AS kept
            SET held_until = clock_timestamp() + $3 * interval '1 millisecond', holder = $4
            FROM summed WHERE kept.uuid = summed.uuid AND summed.before < $5
            RETURNING kept.uuid, kept.request, kept.expires, kept.attempts`,
    release: `UPDATE ${table} SET held_until = clock_timestamp() + $2 * interval '1 millisecond', holder = NULL,
                attempts = attempts + $4
              WHERE uuid = $1 AND holder = $3 AND ${WAITING}`,
    shelve: `UPDATE ${table} SET held_until = 'infinity', holder = NULL WHERE uuid = ANY($1)`,
    markDead: `UPDATE ${table} SET died = $3, reason = $4, attempts = $5, expires = $6, holder = NULL
           WHERE uuid = $1 AND holder = $2 AND ${WAITING} AND expires > ${NOW_MS}`,
    deadLetters: `SELECT uuid, request, attempts, reason, died, expires FROM ${table}
                  WHERE died IS NOT NULL AND expires > ${NOW_MS} AND uuid > $1
                  ORDER BY uuid LIMIT $2`,
    look: `SELECT reply, request, died, reason FROM ${table} WHERE uuid = $1 AND expires > ${NOW_MS}`,
    expire: `DELETE FROM ${table} WHERE uuid IN (
               SELECT uuid FROM ${table} WHERE expires <= ${NOW_MS}
               ORDER BY expires LIMIT $1 FOR UPDATE SKIP LOCKED
             )`,
    // From one service to the next in the index.
    services: `WITH RECURSIVE found AS (
                 (SELECT service FROM ${table} WHERE ${WAITING} ORDER BY service LIMIT 1)
                 UNION ALL
                 SELECT (SELECT next.service FROM ${table} AS next
                         WHERE next.service > found.service AND next.reply IS NULL AND next.died IS NULL
                         ORDER BY next.service LIMIT 1)
                 FROM found WHERE found.service IS NOT NULL
               )
               SELECT service FROM found WHERE service IS NOT NULL LIMIT $1`,
  };
}
