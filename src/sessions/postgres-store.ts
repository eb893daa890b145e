/**
 * Sessions in PostgreSQL, or a database that speaks its protocol; any number of machines share a table.
 *
 *   k   the key, ordered by its bytes
 *   n   the version, from a sequence
 *   v   the value
 *
 * A commit takes advisory locks for its keys, then compares versions. Keys share a fixed number of locks, so unrelated
 * commits can wait for each other. Databases without them use `isolation: "serializable"`.
 */
import { seededHash } from "../core/bytes.js";
import { checkOptions, choice, type Given } from "../kit/options.js";
import {
  type PgClient,
  POSTGRES_OPTIONS,
  PostgresDatabase,
  READ_COMMITTED,
  tableName,
} from "../store/postgres.js";
import { StoreError } from "../store/store.js";
import { PAGE_BYTES } from "./records.js";
import type {
  SessionStore,
  SessionStoreCheck,
  SessionStoreEntry,
  SessionStoreScan,
  SessionStoreValue,
  SessionStoreWrite,
} from "./store.js";

interface Row {
  readonly k: string;
  readonly n: number;
  readonly v: Buffer;
}

type Put = SessionStoreWrite & { readonly value: Buffer };

const OPTIONS = {
  ...POSTGRES_OPTIONS,
  /** Table, made if missing: lower-case letters, digits and `_`. Default "shoal_sessions". */
  table: tableName("shoal_sessions"),
  /** Advisory locks, or serializable transactions. Default `"locks"`. */
  isolation: choice(["locks", "serializable"], "locks"),
};

export type PostgresSessionStoreOptions = Given<typeof OPTIONS>;

const SERIALIZABLE = "BEGIN ISOLATION LEVEL SERIALIZABLE";
/** PostgreSQL's codes for serialization failures and deadlocks. */
const CONFLICT = /^40/;

/**
 * @example
 * ```ts no-run
 * import { PostgresSessionStore } from "shoal/sessions";
 *
 * const store = await PostgresSessionStore.open({ connectionString: "postgres://localhost/shop" });
 * ```
 */
export class PostgresSessionStore implements SessionStore {
  readonly name = "postgres";
  readonly #database: PostgresDatabase;
  readonly #table: string;
  readonly #isSerializable: boolean;

  /**
   * Connects, and makes a missing table.
   *
   * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the package `pg`; InvalidArgumentError `EINVAL`;
   *   StoreError `failed` if the database refuses or does not answer
   */
  static async open(options: PostgresSessionStoreOptions = {}): Promise<PostgresSessionStore> {
    const settings = checkOptions("PostgresSessionStore", OPTIONS, options);
    const { table, isolation } = settings;
    const database = new PostgresDatabase("A store of sessions in PostgreSQL", "shoal sessions", settings);
    const statements = [
      `CREATE SEQUENCE IF NOT EXISTS ${table}_version`,
      `CREATE TABLE IF NOT EXISTS ${table} (k text COLLATE "C" PRIMARY KEY, n bigint NOT NULL, v bytea NOT NULL)`,
    ];
    // CockroachDB makes no table in a transaction of read committed rows.
    const locked = `${READ_COMMITTED}; SELECT pg_advisory_xact_lock(7401925)`;
    await database.create(statements, isolation === "serializable" ? SERIALIZABLE : locked);
    return new PostgresSessionStore(database, table, isolation === "serializable");
  }

  private constructor(database: PostgresDatabase, table: string, isSerializable: boolean) {
    this.#database = database;
    this.#table = table;
    this.#isSerializable = isSerializable;
  }

  async read(keys: readonly string[]): Promise<readonly (SessionStoreValue | undefined)[]> {
    if (keys.length === 0) return [];
    const { rows } = await this.#database.query<Row>(
      `SELECT k, n::float8 AS n, v FROM ${this.#table} WHERE k = ANY ($1::text[])`,
      [keys],
    );
    const found = new Map(rows.map(({ k, n, v }) => [k, { version: n, value: v }]));
    return keys.map((key) => found.get(key));
  }

  async scan({ from, to, limit, maxBytes }: SessionStoreScan): Promise<readonly SessionStoreEntry[]> {
    // The first row has any size.
    const { rows } = await this.#database.query<Row>(
      `SELECT k, n::float8 AS n, v FROM (
         SELECT k, n, v, sum(length(v)) OVER (ORDER BY k) AS size, row_number() OVER (ORDER BY k) AS place
         FROM (SELECT k, n, v FROM ${this.#table} WHERE k >= $1 AND k < $2 ORDER BY k LIMIT $3) AS found
       ) AS summed WHERE place = 1 OR size <= $4 ORDER BY k`,
      [from, to, limit, maxBytes],
    );
    return rows.map(({ k, n, v }) => ({ key: k, version: n, value: v }));
  }

  async commit(checks: readonly SessionStoreCheck[], writes: readonly SessionStoreWrite[]): Promise<boolean> {
    try {
      const begin = this.#isSerializable ? SERIALIZABLE : lock([...checks, ...writes]);
      return await this.#database.transaction((client) => this.#write(client, checks, writes), begin);
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#database.close();
  }

  async #write(
    client: PgClient,
    checks: readonly SessionStoreCheck[],
    writes: readonly SessionStoreWrite[],
  ): Promise<boolean> {
    const table = this.#table;
    const { rows } = await client.query<{ wrong: number }>(
      `SELECT count(*)::float8 AS wrong FROM unnest($1::text[], $2::float8[]) AS given (k, n)
       LEFT JOIN ${table} AS kept ON kept.k = given.k WHERE coalesce(kept.n, 0) <> given.n`,
      [checks.map(({ key }) => key), checks.map(({ version }) => version)],
    );
    if (rows[0]?.wrong !== 0) return false;
    const puts = writes.filter((write): write is Put => write.value !== undefined);
    const removed = writes.filter(({ value }) => value === undefined).map(({ key }) => key);
    // `pg` makes one string of a statement's values, two characters per byte, and V8's longest string has 2^29.
    for (let at = 0; at < puts.length; ) {
      const some: Put[] = [];
      for (let bytes = 0; at < puts.length && bytes < PAGE_BYTES; at++) {
        const put = puts[at] as Put;
        some.push(put);
        bytes += put.value.length;
      }
      await client.query(
        `INSERT INTO ${table} (k, n, v) SELECT k, nextval('${table}_version'), v FROM unnest($1::text[], $2::bytea[]) AS given (k, v)
         ON CONFLICT (k) DO UPDATE SET n = excluded.n, v = excluded.v`,
        [some.map(({ key }) => key), some.map(({ value }) => value)],
      );
    }
    if (removed.length > 0) await client.query(`DELETE FROM ${table} WHERE k = ANY ($1::text[])`, [removed]);
    return true;
  }
}

/** Begins a transaction with its locks: fewer answers to wait for, fewer lost races. Their order excludes deadlocks. */
function lock(keys: readonly { readonly key: string }[]): string {
  const locks = [...new Set(keys.map(({ key }) => lockOf(key)))].sort((one, other) => one - other);
  return `${READ_COMMITTED}; SELECT pg_advisory_xact_lock(7401926, lock) FROM unnest('{${locks}}'::int[]) AS lock`;
}

function lockOf(key: string): number {
  return (seededHash(Buffer.from(key), 0) >>> 0) % 64;
}

function isConflict(error: unknown): boolean {
  if (!(error instanceof StoreError)) return false;
  const code = (error.cause as { code?: unknown } | undefined)?.code;
  return typeof code === "string" && CONFLICT.test(code);
}
