/**
 * Titanic's store on PostgreSQL. `SKIP LOCKED` gives each request to one machine, and a lease gives it to another if
 * that one dies. Writes of one turn share a transaction, which commits to disk whatever the database's default.
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
import crypto from "node:crypto";
import { costOf } from "../../core/memory.js";
import { checkOptions, type Given, integer } from "../../kit/options.js";
import { POSTGRES_OPTIONS, PostgresDatabase, READ_COMMITTED, tableName } from "../../store/postgres.js";
import { decodeRecord, encodeRecord, GroupCommit, type StoredRecord } from "../../store/store.js";
import { formatUuid } from "./protocol.js";
import {
  MAX_CLAIM_BYTES,
  type TitanicClaimedRequest,
  type TitanicDamagedRecord,
  type TitanicDeath,
  type TitanicNewRequest,
  type TitanicRequestState,
  type TitanicStore,
  type TitanicStoredDeadLetter,
  type TitanicStoreStats,
} from "./store.js";

// --- Statements ------------------------------------------------------------------------------------------------------

/** Exactly the condition of the queue's index. */
const WAITING = "reply IS NULL AND died IS NULL";
const NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::float8";

type Statements = ReturnType<typeof statementsFor>;

/** @param table a plain identifier; it becomes part of the text */
function statementsFor(table: string) {
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
    markDead: `UPDATE ${table} SET died = $3, reason = $4, attempts = $5, expires = $6, holder = NULL
           WHERE uuid = $1 AND holder = $2 AND ${WAITING} AND expires > ${NOW_MS}`,
    deadLetters: `SELECT uuid, request, attempts, reason, died, expires FROM ${table}
                  WHERE died IS NOT NULL AND expires > ${NOW_MS} AND ($1::uuid IS NULL OR uuid > $1)
                  ORDER BY uuid LIMIT $2`,
    look: `SELECT reply, request, died, reason FROM ${table} WHERE uuid = $1 AND expires > ${NOW_MS}`,
    expire: `DELETE FROM ${table} WHERE uuid IN (
               SELECT uuid FROM ${table} WHERE expires <= ${NOW_MS}
               ORDER BY expires LIMIT $1 FOR UPDATE SKIP LOCKED
             )`,
    // From one service to the next in the index.
    services: `WITH RECURSIVE found AS (
                 (SELECT service FROM ${table} WHERE ${WAITING} AND service > $2 ORDER BY service LIMIT 1)
                 UNION ALL
                 SELECT (SELECT next.service FROM ${table} AS next
                         WHERE next.service > found.service AND next.reply IS NULL AND next.died IS NULL
                         ORDER BY next.service LIMIT 1)
                 FROM found WHERE found.service IS NOT NULL
               )
               SELECT service FROM found WHERE service IS NOT NULL LIMIT $1`,
  };
}

// --- Store -----------------------------------------------------------------------------------------------------------

/** Each statement returns some of the columns. */
interface Row {
  readonly uuid: string;
  readonly service: Buffer;
  readonly request: Buffer;
  readonly reply: Buffer | null;
  readonly expires: number;
  readonly attempts: number;
  readonly died: number | null;
  readonly reason: Buffer | null;
}

type Write =
  | { readonly kind: "put"; readonly request: TitanicNewRequest }
  | {
      readonly kind: "answer";
      readonly uuid: Buffer;
      readonly reply: readonly Buffer[];
      readonly expires: number;
    }
  | { readonly kind: "forget"; readonly uuid: Buffer };

const OPTIONS = {
  ...POSTGRES_OPTIONS,
  /** Table, created if missing: lower-case letters, digits and `_`. Default "shoal_titanic". */
  table: tableName("shoal_titanic"),
  /** Pending writes; more, or more than 256 MiB of them, are refused. Default 100,000. */
  maxPendingWrites: integer({ default: 100_000 }),
};

/** Options of {@link PostgresStore.open}. */
export type PostgresStoreOptions = Given<typeof OPTIONS>;

/** Before every name. */
const NO_SERVICE = Buffer.alloc(0);

/**
 * A {@link TitanicStore} in PostgreSQL for any number of machines: each request is worked on by one of them, and by
 * another when that one dies. Needs the package `pg`.
 *
 * @example
 * ```ts no-run
 * import { PostgresStore, Titanic } from "shoal/titanic";
 *
 * const store = await PostgresStore.open({ connectionString: "postgres://localhost/shop" });
 * const titanic = new Titanic("tcp://127.0.0.1:5555", store); // At a Majordomo broker.
 * ```
 */
export class PostgresStore implements TitanicStore {
  onDamage: ((record: TitanicDamagedRecord) => void) | undefined;
  readonly #database: PostgresDatabase;
  readonly #statements: Statements;
  readonly #writes: GroupCommit<Write, boolean>;
  /** Of this store's claims. */
  readonly #holder = crypto.randomUUID();

  /**
   * Connects, and creates the table if missing.
   *
   * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the package `pg`; InvalidArgumentError `EINVAL`;
   *   StoreError `failed`
   */
  static async open(options: PostgresStoreOptions = {}): Promise<PostgresStore> {
    const settings = checkOptions("PostgresStore", OPTIONS, options);
    const database = new PostgresDatabase("Titanic's store on PostgreSQL", "shoal titanic", settings);
    const statements = statementsFor(settings.table);
    await database.create(statements.create, `${READ_COMMITTED}; SELECT pg_advisory_xact_lock(7401924)`);
    return new PostgresStore(database, statements, settings.maxPendingWrites);
  }

  private constructor(database: PostgresDatabase, statements: Statements, maxPendingWrites: number) {
    this.#database = database;
    this.#statements = statements;
    this.#writes = new GroupCommit((writes) => this.#commit(writes), maxPendingWrites);
  }

  put(request: TitanicNewRequest): Promise<boolean> {
    return this.#writes.add({ kind: "put", request }, costOf(request.body));
  }

  async claim(service: Buffer, limit: number, lease: number): Promise<TitanicClaimedRequest[]> {
    // A claim whose answer is lost ends with its lease.
    const values = [service, limit, lease, this.#holder, MAX_CLAIM_BYTES];
    const { rows } = await this.#database.write<Row>(this.#statements.claim, values);
    const claimed: TitanicClaimedRequest[] = [];
    for (const { uuid: text, request, expires, attempts } of rows) {
      const uuid = fromText(text);
      const record = this.#sound(uuid, request);
      if (record === undefined) continue;
      const [, ...body] = record.frames;
      claimed.push({ uuid, service, body, expires, attempts: attempts + 1 });
    }
    return claimed.sort((a, b) => a.uuid.compare(b.uuid));
  }

  async release(uuid: Buffer, delay: number, failed: boolean): Promise<void> {
    const values = [formatUuid(uuid), delay, this.#holder, failed ? 1 : 0];
    await this.#database.write(this.#statements.release, values);
  }

  async markDead(uuid: Buffer, { died, reason, attempts, expires }: TitanicDeath): Promise<boolean> {
    const values = [formatUuid(uuid), this.#holder, died, Buffer.from(reason), attempts, expires];
    const { rowCount } = await this.#database.write(this.#statements.markDead, values);
    return rowCount !== 0;
  }

  async deadLetters(limit: number, after?: Buffer): Promise<TitanicStoredDeadLetter[]> {
    const values = [after && formatUuid(after), limit];
    const { rows } = await this.#database.query<Row>(this.#statements.deadLetters, values);
    const letters: TitanicStoredDeadLetter[] = [];
    for (const { uuid: text, request, attempts, reason, died, expires } of rows) {
      const uuid = fromText(text);
      const record = this.#sound(uuid, request);
      if (record === undefined) continue;
      const [service, ...body] = record.frames as [Buffer, ...Buffer[]];
      letters.push({ uuid, service, body, attempts, reason: String(reason), died: died as number, expires });
    }
    return letters;
  }

  answer(uuid: Buffer, reply: readonly Buffer[], expires: number): Promise<boolean> {
    return this.#writes.add({ kind: "answer", uuid, reply, expires }, costOf(reply));
  }

  async look(uuid: Buffer): Promise<TitanicRequestState> {
    const { rows } = await this.#database.query<Row>(this.#statements.look, [formatUuid(uuid)]);
    const [row] = rows;
    if (row === undefined) return { state: "unknown" };
    if (row.died !== null) return { state: "dead", reason: String(row.reason ?? "") };
    const record = this.#sound(uuid, row.reply ?? row.request);
    if (record === undefined) return { state: "damaged" };
    return row.reply === null ? { state: "pending" } : { state: "answered", reply: record.frames };
  }

  async forget(uuid: Buffer): Promise<void> {
    await this.#writes.add({ kind: "forget", uuid });
  }

  async expire(limit: number): Promise<number> {
    return (await this.#database.write(this.#statements.expire, [limit])).rowCount ?? 0;
  }

  async services(limit: number, after: Buffer = NO_SERVICE): Promise<Buffer[]> {
    const { rows } = await this.#database.query<Row>(this.#statements.services, [limit, after]);
    return rows.map(({ service }) => service);
  }

  stats(): TitanicStoreStats {
    const { commits, operations } = this.#writes;
    const uncounted = { pending: undefined, answered: undefined, dead: undefined };
    return { ...uncounted, commits, operations };
  }

  async close(): Promise<void> {
    await this.#writes.close();
    await this.#database.close();
  }

  /** One statement for each kind of write; the order of writes about one request does not matter. */
  #commit(writes: readonly Write[]): Promise<boolean[]> {
    const puts = writes.filter((write) => write.kind === "put").map(({ request }) => request);
    const answers = writes.filter((write) => write.kind === "answer");
    const forgets = writes.filter((write) => write.kind === "forget");
    const { put, answer, forget } = this.#statements;
    return this.#database.transaction(async (client) => {
      const added = new Set<string>();
      const answered = new Set<string>();
      if (puts.length > 0) {
        const { rows } = await client.query<Row>(put, [
          puts.map(({ uuid }) => formatUuid(uuid)),
          puts.map(({ service }) => service),
          puts.map(({ service, body, expires }) => encodeRecord([service, ...body], expires)),
          puts.map(({ expires }) => expires),
        ]);
        for (const { uuid } of rows) added.add(fromText(uuid).toString("latin1"));
      }
      if (answers.length > 0) {
        const { rows } = await client.query<Row>(answer, [
          answers.map(({ uuid }) => formatUuid(uuid)),
          answers.map(({ reply, expires }) => encodeRecord(reply, expires)),
          answers.map(({ expires }) => expires),
        ]);
        for (const { uuid } of rows) answered.add(fromText(uuid).toString("latin1"));
      }
      if (forgets.length > 0) await client.query(forget, [forgets.map(({ uuid }) => formatUuid(uuid))]);
      // The database took one of several writes to a UUID; `delete` assigns it to the first.
      return writes.map((write) => {
        if (write.kind === "forget") return true;
        if (write.kind === "put") return added.delete(write.request.uuid.toString("latin1"));
        return answered.delete(write.uuid.toString("latin1"));
      });
    });
  }

  /** A damaged record is reported; a claimed one again after its lease. */
  #sound(uuid: Buffer, bytes: Buffer): StoredRecord | undefined {
    const record = decodeRecord(bytes);
    if (typeof record !== "string") return record;
    this.onDamage?.({ uuid: formatUuid(uuid), reason: record });
    return undefined;
  }
}

function fromText(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll("-", ""), "hex");
}
