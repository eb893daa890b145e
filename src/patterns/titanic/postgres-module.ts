/** The part of the package `pg` that is used here: named, so that the types do not need the package. */
import { loadOptional } from "../../core/optional-package.js";

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
export function openPool(options: object): PgPool {
  const { Pool } = loadOptional("pg", "Titanic's store on PostgreSQL") as {
    Pool: new (options: object) => PgPool;
  };
  const pool = new Pool(options);
  // A connection that is lost is made again by the next query, which also tells if it cannot be. The pool listens to
  // those that are idle only: one that is lost in a transaction would end the process.
  pool.on("error", ignore);
  pool.on("connect", (client) => client.on("error", ignore));
  return pool;
}

function ignore(): void {}
