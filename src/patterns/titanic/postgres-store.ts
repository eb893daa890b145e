/**
 * Titanic's store on PostgreSQL: any number of machines share one table. Each
 * runs a Titanic beside its broker; `SKIP LOCKED` gives each request to one of
 * them, and a lease gives it to another when that one dies.
 *
 * Writes of one turn share a transaction (group commit). Every transaction asks
 * for a commit on disk, whatever the database's default is.
 */
import { randomUUID } from "node:crypto";
import { ClosedError, InvalidArgumentError } from "../../core/errors.js";
import { GroupCommit } from "./group-commit.js";
import { openPool, type PgClient, type PgPool, type PgResult } from "./postgres-module.js";
import { type Statements, statementsFor } from "./postgres-statements.js";
import { decodeRecord, encodeRecord, type StoredRecord } from "./record.js";
import {
  type ClaimedRequest,
  type DamagedRecord,
  type NewRequest,
  type RequestState,
  StoreError,
  type StoreStats,
  type TitanicStore,
} from "./store.js";
import { formatUuid } from "./uuid.js";

/** Options of {@link PostgresStore.open}. */
export interface PostgresStoreOptions {
  /** `postgres://USER:PASSWORD@HOST:PORT/DATABASE`; without it the variables `PGHOST`, `PGUSER`, … count. */
  readonly connectionString?: string;
  /** The table, made if it is not there: lower-case letters, digits and `_`. Default "shoal_titanic". */
  readonly table?: string;
  /** Connections at most. Default 10. */
  readonly maxConnections?: number;
  /** ms for a connection to be made, and for a statement to run. Default 30,000. */
  readonly timeout?: number;
  /** Writes that may wait for the database; past it they are refused. Default 100,000. */
  readonly maxPendingWrites?: number;
}

type Write =
  | { readonly kind: "put"; readonly request: NewRequest }
  | {
      readonly kind: "answer";
      readonly uuid: Buffer;
      readonly reply: readonly Buffer[];
      readonly expires: number;
    }
  | { readonly kind: "forget"; readonly uuid: Buffer };

const TABLE = /^[a-z_][a-z0-9_]{0,39}$/;
/** A lock of the database's own, so that machines that start together do not make the table twice. */
const CREATE_LOCK = 7_401_924;
/** "off" alone says that a commit may be lost; the other values wait for a disk at least. */
const DURABLE = `SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`;

export class PostgresStore implements TitanicStore {
  readonly name = "postgres";
  onDamage: ((record: DamagedRecord) => void) | undefined;
  readonly #pool: PgPool;
  readonly #statements: Statements;
  readonly #writes: GroupCommit<Write, boolean>;
  readonly #holder = randomUUID();
  #damaged = 0;
  #closed: Promise<void> | undefined;

  /**
   * Connects, and makes the table if it is not there.
   *
   * @throws NotSupportedError `NOT_SUPPORTED` without the package `pg`; InvalidArgumentError `EINVAL`;
   *   StoreError `failed` when the database does not answer or refuses
   */
  static async open(options: PostgresStoreOptions = {}): Promise<PostgresStore> {
    const {
      table = "shoal_titanic",
      timeout = 30_000,
      maxConnections = 10,
      maxPendingWrites = 100_000,
    } = options;
    if (!TABLE.test(table))
      throw new InvalidArgumentError(
        `table is lower-case letters, digits and _; got ${JSON.stringify(table)}`,
      );
    for (const [name, value] of Object.entries({ timeout, maxConnections, maxPendingWrites })) {
      if (!Number.isSafeInteger(value) || value < 1)
        throw new InvalidArgumentError(`${name} is a whole number, 1 or more; got ${String(value)}`);
    }
    const pool = openPool({
      ...(options.connectionString === undefined ? {} : { connectionString: options.connectionString }),
      max: maxConnections,
      connectionTimeoutMillis: timeout,
      statement_timeout: timeout,
      query_timeout: timeout,
      application_name: "shoal titanic",
    });
    const store = new PostgresStore(pool, statementsFor(table), maxPendingWrites);
    try {
      await store.#transaction(async (client) => {
        await client.query("SELECT pg_advisory_xact_lock($1)", [CREATE_LOCK]);
        for (const statement of store.#statements.create) await client.query(statement);
      });
    } catch (error) {
      await pool.end();
      throw error;
    }
    return store;
  }

  private constructor(pool: PgPool, statements: Statements, maxPendingWrites: number) {
    this.#pool = pool;
    this.#statements = statements;
    this.#writes = new GroupCommit((writes) => this.#commit(writes), maxPendingWrites);
  }

  async put(request: NewRequest): Promise<void> {
    await this.#writes.add({ kind: "put", request });
  }

  async claim(service: Buffer, limit: number, lease: number): Promise<ClaimedRequest[]> {
    const { rows } = await this.#query<{ uuid: string; request: Buffer; attempts: number }>(
      this.#statements.claim,
      [service, limit, lease, this.#holder],
    );
    const claimed: ClaimedRequest[] = [];
    for (const { uuid: text, request, attempts } of rows) {
      const uuid = fromText(text);
      const record = await this.#sound(uuid, request);
      if (record === undefined) continue;
      const [, ...body] = record.frames;
      claimed.push({ uuid, service, body, expires: record.expires, attempts });
    }
    return claimed.sort((a, b) => a.uuid.compare(b.uuid));
  }

  async release(uuid: Buffer, delay: number): Promise<void> {
    await this.#query(this.#statements.release, [formatUuid(uuid), delay, this.#holder]);
  }

  answer(uuid: Buffer, reply: readonly Buffer[], expires: number): Promise<boolean> {
    return this.#writes.add({ kind: "answer", uuid, reply, expires });
  }

  async look(uuid: Buffer): Promise<RequestState> {
    const { rows } = await this.#query<{ damaged: boolean; reply: Buffer | null; request: Buffer }>(
      this.#statements.look,
      [formatUuid(uuid)],
    );
    const [row] = rows;
    if (row === undefined) return { state: "unknown" };
    if (row.damaged) return { state: "damaged" };
    const record = await this.#sound(uuid, row.reply ?? row.request);
    if (record === undefined) return { state: "damaged" };
    return row.reply === null ? { state: "pending" } : { state: "answered", reply: record.frames };
  }

  async forget(uuid: Buffer): Promise<void> {
    await this.#writes.add({ kind: "forget", uuid });
  }

  async expire(limit: number): Promise<number> {
    return (await this.#query(this.#statements.expire, [limit])).rowCount ?? 0;
  }

  async services(limit: number): Promise<Buffer[]> {
    const { rows } = await this.#query<{ service: Buffer }>(this.#statements.services, [limit]);
    return rows.map(({ service }) => service);
  }

  stats(): StoreStats {
    const { commits, operations } = this.#writes;
    return { pending: undefined, answered: undefined, damaged: this.#damaged, commits, operations };
  }

  close(): Promise<void> {
    this.#closed ??= this.#writes.close().then(() => this.#pool.end());
    return this.#closed;
  }

  /** The writes of a batch by kind, one statement each. Writes about one request in one batch do not depend on their order. */
  #commit(writes: readonly Write[]): Promise<boolean[]> {
    const puts = writes.filter((write) => write.kind === "put").map(({ request }) => request);
    const answers = writes.filter((write) => write.kind === "answer");
    const forgets = writes.filter((write) => write.kind === "forget");
    const { put, answer, forget } = this.#statements;
    return this.#transaction(async (client) => {
      const kept = new Set<string>();
      if (puts.length > 0) {
        await client.query(put, [
          puts.map(({ uuid }) => formatUuid(uuid)),
          puts.map(({ service }) => service),
          puts.map(({ service, body, expires }) => encodeRecord([service, ...body], expires)),
          puts.map(({ expires }) => expires),
        ]);
      }
      if (answers.length > 0) {
        const { rows } = await client.query<{ uuid: string }>(answer, [
          answers.map(({ uuid }) => formatUuid(uuid)),
          answers.map(({ reply, expires }) => encodeRecord(reply, expires)),
          answers.map(({ expires }) => expires),
        ]);
        for (const { uuid } of rows) kept.add(fromText(uuid).toString("latin1"));
      }
      if (forgets.length > 0) await client.query(forget, [forgets.map(({ uuid }) => formatUuid(uuid))]);
      // Of two answers to one request the database took one; `delete` says so to the first only.
      return writes.map((write) => write.kind !== "answer" || kept.delete(write.uuid.toString("latin1")));
    });
  }

  /** The record in these bytes; one that is damaged is set aside and told. */
  async #sound(uuid: Buffer, bytes: Buffer): Promise<StoredRecord | undefined> {
    const record = decodeRecord(bytes);
    if (typeof record !== "string") return record;
    const { rowCount } = await this.#query(this.#statements.setAside, [formatUuid(uuid)]);
    if (rowCount !== 0) {
      this.#damaged += 1;
      this.onDamage?.({ uuid: formatUuid(uuid), reason: record });
    }
    return undefined;
  }

  async #query<Row>(text: string, values: readonly unknown[]): Promise<PgResult<Row>> {
    if (this.#closed !== undefined) throw new ClosedError("EBADF", "The store is closed");
    try {
      return await this.#pool.query<Row>(text, values);
    } catch (error) {
      throw failed(error);
    }
  }

  async #transaction<T>(run: (client: PgClient) => Promise<T>): Promise<T> {
    let client: PgClient | undefined;
    try {
      client = await this.#pool.connect();
      await client.query("BEGIN");
      await client.query(DURABLE);
      const result = await run(client);
      await client.query("COMMIT");
      client.release();
      return result;
    } catch (error) {
      // The connection's state is not known: it goes, and the transaction with it.
      client?.release(error);
      throw failed(error);
    }
  }
}

/** Class 53 of PostgreSQL's codes: no disk, no memory, no connection left. */
function failed(cause: unknown): StoreError {
  const code = (cause as { code?: unknown } | null)?.code;
  if (typeof code === "string" && code.startsWith("53"))
    return new StoreError("full", "The database has no room left; nothing was kept", { cause });
  return new StoreError("failed", "The database failed; whether it kept anything is not known", { cause });
}

function fromText(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll("-", ""), "hex");
}
