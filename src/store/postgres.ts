/**
 * A PostgreSQL database for stores: transactions are done, refused, or of unknown outcome. The interfaces name the
 * used part of the package `pg`, so that the types do not need it.
 */

import { ClosedError, InvalidArgumentError } from "../core/errors.js";
import { loadOptional } from "../core/packages.js";
import { ignore } from "../core/waiter.js";
import { integer, type OptionSpec, type Settings, text } from "../kit/options.js";
import { StoreError } from "./store.js";

/** Options of every store. */
export const POSTGRES_OPTIONS = {
  /** `postgres://USER:PASSWORD@HOST:PORT/DATABASE`; default: the variables `PGHOST`, `PGUSER`, … */
  connectionString: text(),
  /** Maximum connections. Default 10. */
  maxConnections: integer({ default: 10 }),
  /** ms for a connection, for a statement, and for a pause within a transaction. Default 30,000. */
  timeout: integer({ default: 30_000 }),
};

const CONNECTION = /^(postgres(ql)?:\/\/|socket:|\/)/;
const TABLE = /^[a-z_][a-z0-9_]{0,39}$/;

export function tableName(standard: string): OptionSpec<string> {
  return {
    default: standard,
    expected: "up to 40 lower-case letters, digits and _, the first no digit",
    accepts: (value) => typeof value === "string" && TABLE.test(value),
  };
}

export interface PgResult<Row> {
  readonly rows: Row[];
  readonly rowCount: number | null;
}

export interface PgQueries {
  query<Row>(text: string, values?: readonly unknown[]): Promise<PgResult<Row>>;
}

export interface PgClient extends PgQueries {
  /** An error closes the connection. */
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

function openPool(what: string, options: object): PgPool {
  const { Pool, Client } = loadOptional("pg", what) as {
    Pool: new (options: object) => PgPool;
    Client: new (options: object) => unknown;
  };
  try {
    // A pool reads the connection string with each connection.
    new Client(options);
  } catch (cause) {
    throw invalidConnection((cause as Error).message, cause);
  }
  const pool = new Pool(options);
  // The next query replaces a lost connection. An unheard error of one in use would end the process.
  pool.on("error", ignore);
  pool.on("connect", (client) => client.on("error", ignore));
  return pool;
}

/** A database's default can be another one: then what is compared under a lock is older than the lock. */
export const READ_COMMITTED = "BEGIN ISOLATION LEVEL READ COMMITTED";

/** Only "off" may lose a commit. */
const DURABLE = `SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`;

/** Without the text, which may have a password. */
function invalidConnection(got: string, cause?: unknown): InvalidArgumentError {
  return new InvalidArgumentError(
    `Option connectionString must be such as postgres://USER:PASSWORD@HOST:PORT/DATABASE; got ${got}`,
    { cause },
  );
}

export class PostgresDatabase {
  readonly #pool: PgPool;
  readonly #connecting = new Set<Promise<PgClient>>();
  #closing: Promise<void> | undefined;

  /**
   * @param what user of the database, for errors
   * @param applicationName its name in the database's views
   * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` without the package `pg`; InvalidArgumentError `EINVAL` for a bad
   *   connection string
   */
  constructor(what: string, applicationName: string, options: Settings<typeof POSTGRES_OPTIONS>) {
    const { connectionString, maxConnections, timeout } = options;
    if (connectionString !== undefined && !CONNECTION.test(connectionString))
      throw invalidConnection("another text");
    this.#pool = openPool(what, {
      ...(connectionString === undefined ? {} : { connectionString }),
      max: maxConnections,
      connectionTimeoutMillis: timeout,
      statement_timeout: timeout,
      query_timeout: timeout,
      // Otherwise a machine lost during a transaction keeps its locks until TCP gives it up, normally after two hours.
      idle_in_transaction_session_timeout: timeout,
      application_name: applicationName,
      allowExitOnIdle: true,
    });
  }

  /**
   * Creates tables in one transaction; closes the database if that fails.
   *
   * @param begin takes a lock, for machines that start together
   */
  async create(statements: readonly string[], begin: string): Promise<void> {
    try {
      await this.transaction(async (client) => {
        for (const statement of statements) await client.query(statement);
      }, begin);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Finishes statements and transactions that have begun. */
  close(): Promise<void> {
    // The pool would leave calls that wait for a connection to their timeout.
    this.#closing ??= Promise.allSettled(this.#connecting).then(() => this.#pool.end());
    return this.#closing;
  }

  /** Runs a read-only statement, twice if the connection was lost. */
  async query<Row>(text: string, values: readonly unknown[]): Promise<PgResult<Row>> {
    try {
      return await this.#run(text, values, true);
    } catch (error) {
      if (!(error instanceof StoreError) || error.reason !== "outcome-unknown") throw error;
      return this.#run(text, values, false);
    }
  }

  /** A lost connection leaves the outcome unknown. */
  write<Row>(text: string, values: readonly unknown[]): Promise<PgResult<Row>> {
    return this.#run(text, values, true);
  }

  /** @param repeatable whether a lost answer is an unknown outcome */
  async #run<Row>(text: string, values: readonly unknown[], repeatable: boolean): Promise<PgResult<Row>> {
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

  /** @throws ClosedError `EBADF`; StoreError `failed` */
  async #connect(): Promise<PgClient> {
    if (this.#closing !== undefined) throw new ClosedError("EBADF", "The store is closed");
    const connecting = this.#pool.connect();
    this.#connecting.add(connecting);
    try {
      return await connecting;
    } catch (error) {
      throw failed(error);
    } finally {
      this.#connecting.delete(connecting);
    }
  }

  async transaction<T>(run: (client: PgClient) => Promise<T>, begin = READ_COMMITTED): Promise<T> {
    const client = await this.#connect();
    let committing = false;
    try {
      await client.query(`${begin}; ${DURABLE}`);
      const result = await run(client);
      committing = true;
      await client.query("COMMIT");
      client.release();
      return result;
    } catch (error) {
      // This also ends an uncommitted transaction.
      client.release(error);
      throw committing && !isRefusal(error) ? outcomeUnknown(error) : failed(error);
    }
  }
}

/**
 * Whether the database refused the statement. After a more severe error, a lost connection or a timeout the commit may
 * have taken place.
 */
function isRefusal(error: unknown): boolean {
  const { severity, code } = (error ?? {}) as { severity?: unknown; code?: unknown };
  // The severity is in the database's language; these codes never end a connection.
  return severity === "ERROR" || (typeof code === "string" && /^(2[2-8]|3[4-9B]|4[024])/.test(code));
}

function outcomeUnknown(cause: unknown): StoreError {
  const message =
    "The connection to the database was lost before it answered; whether it did it is not known";
  return new StoreError("outcome-unknown", message, { cause });
}

/** Class 53: no disk, memory or connection left. */
function failed(cause: unknown): StoreError {
  const { code, message = "" } = (cause ?? {}) as { code?: unknown; message?: unknown };
  // Node's error of several addresses has only a code.
  const reason = String(message || code);
  if (typeof code === "string" && code.startsWith("53"))
    return new StoreError("full", `The database has no room left, and kept nothing: ${reason}`, { cause });
  return new StoreError("failed", `The database failed, and kept nothing: ${reason}`, { cause });
}
