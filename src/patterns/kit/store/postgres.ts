/**
 * A PostgreSQL database as stores use it: a pool of connections, statements and transactions of which it is known whether they took place, refused
 * or unknown. Of the package `pg` only the part that is used is named, so that the types do not need the package.
 */
import { ClosedError } from "../../../core/errors.js";
import { ignore } from "../../../core/ignore.js";
import { loadOptional } from "../../../core/optional-package.js";
import { StoreError } from "./error.js";

export interface PgResult<Row> {
  readonly rows: Row[];
  readonly rowCount: number | null;
}

export interface PgQueries {
  query<Row>(text: string, values?: readonly unknown[]): Promise<PgResult<Row>>;
}

export interface PgClient extends PgQueries {
  /** Gives it back; with an error the connection is closed. */
  release(error?: unknown): void;
}

interface PgEvents {
  on(event: "error", listener: (error: unknown) => void): unknown;
}

export interface PgPool extends PgQueries {
  connect(): Promise<PgClient>;
  on(event: "error", listener: (error: unknown) => void): unknown;
  on(event: "connect", listener: (client: PgEvents) => void): unknown;
  end(): Promise<void>;
}

/** A pool of connections; none is made before the first query. */
function openPool(what: string, options: object): PgPool {
  const { Pool } = loadOptional("pg", what) as {
    Pool: new (options: object) => PgPool;
  };
  const pool = new Pool(options);
  // A connection that is lost is made again by the next query, which also reports if it cannot be. The pool listens to
  // those that are idle only: one that is lost in a transaction would end the process.
  pool.on("error", ignore);
  pool.on("connect", (client) => client.on("error", ignore));
  return pool;
}

/** "off" alone says that a commit may be lost; the other values wait for a disk at least. */
const DURABLE = `SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`;

/** The database behind a store. */
export class PostgresDatabase {
  readonly #pool: PgPool;
  #closing: Promise<void> | undefined;

  /** @param what needs it, for errors @param options of the pool @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the package `pg` */
  constructor(what: string, options: object) {
    this.#pool = openPool(what, options);
  }

  /** Waits for what runs. */
  close(): Promise<void> {
    this.#closing ??= this.#pool.end();
    return this.#closing;
  }

  /** A statement that changes nothing; asked again once, since a connection of the pool may have been lost unnoticed. */
  async query<Row>(text: string, values: readonly unknown[]): Promise<PgResult<Row>> {
    try {
      return await this.#run(text, values, true);
    } catch (error) {
      if (!isOutcomeUnknown(error)) throw error;
      return this.#run(text, values, false);
    }
  }

  /** A statement that is a transaction of its own: when the connection is lost its outcome is unknown. */
  write<Row>(text: string, values: readonly unknown[]): Promise<PgResult<Row>> {
    return this.#run(text, values, true);
  }

  /** @param repeatable whether a lost answer is reported as an unknown outcome */
  async #run<Row>(text: string, values: readonly unknown[], repeatable: boolean): Promise<PgResult<Row>> {
    if (this.#closing !== undefined) throw new ClosedError("EBADF", "The store is closed");
    const client = await this.#connect();
    try {
      const result = await client.query<Row>(text, values);
      client.release();
      return result;
    } catch (error) {
      client.release(error);
      throw repeatable && !isRefusal(error) ? outcomeUnknown(error) : failed(error);
    }
  }

  async #connect(): Promise<PgClient> {
    try {
      return await this.#pool.connect();
    } catch (error) {
      throw failed(error);
    }
  }

  async transaction<T>(run: (client: PgClient) => Promise<T>, begin = "BEGIN"): Promise<T> {
    const client = await this.#connect();
    let committing = false;
    try {
      await client.query(begin);
      await client.query(DURABLE);
      const result = await run(client);
      committing = true;
      await client.query("COMMIT");
      client.release();
      return result;
    } catch (error) {
      // The connection's state is not known: it goes, and with it the transaction, unless it was committed.
      client.release(error);
      throw committing && !isRefusal(error) ? outcomeUnknown(error) : failed(error);
    }
  }
}

/**
 * Whether the database itself said that it did not do it. Anything more severe ends the connection, and may come
 * after a commit took place; so may a connection that is cut, and a time-out of ours.
 */
function isRefusal(error: unknown): boolean {
  const { severity, code } = (error ?? {}) as { severity?: unknown; code?: unknown };
  // The severity is in the database's language; the classes of code are those that never end a connection.
  return severity === "ERROR" || (typeof code === "string" && /^(2[2-8]|3[4-9B]|4[024])/.test(code));
}

/** Whether a write may have taken place: its answer was lost. */
function isOutcomeUnknown(error: unknown): boolean {
  return error instanceof StoreError && error.reason === "outcome-unknown";
}

function outcomeUnknown(cause: unknown): StoreError {
  const message =
    "The connection to the database was lost before it answered; whether it did it is not known";
  return new StoreError("outcome-unknown", message, { cause });
}

/** Class 53 of PostgreSQL's codes: no disk, no memory, no connection left. */
function failed(cause: unknown): StoreError {
  const code = (cause as { code?: unknown } | null)?.code;
  if (typeof code === "string" && code.startsWith("53"))
    return new StoreError("full", "The database has no room left; nothing was kept", { cause });
  return new StoreError("failed", "The database failed; nothing was kept", { cause });
}
