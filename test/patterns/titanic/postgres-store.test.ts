import { createRequire } from "node:module";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PgPool } from "../../../src/patterns/titanic/postgres-module.js";
import { PostgresStore } from "../../../src/patterns/titanic/postgres-store.js";
import { PostgresServer, postgresBinaries } from "./postgres-server.js";
import { ECHO, request, storeContract } from "./store-contract.js";

const binaries = postgresBinaries();
const missing = "missing" in binaries ? binaries.missing : packageMissing();
if (missing !== undefined) console.warn(`Skipped: the store on PostgreSQL: ${missing}`);

function packageMissing(): string | undefined {
  try {
    createRequire(import.meta.url).resolve("pg");
    return undefined;
  } catch {
    return "the package pg is not installed";
  }
}

describe.skipIf(missing !== undefined)("the store on PostgreSQL", () => {
  let server: PostgresServer;
  let admin: PgPool;
  let table = "";
  let tables = 0;

  beforeAll(async () => {
    server = await PostgresServer.start((binaries as { bin: string }).bin);
    const { Pool } = createRequire(import.meta.url)("pg") as { Pool: new (options: object) => PgPool };
    admin = new Pool({ connectionString: server.connectionString });
    admin.on("error", () => undefined);
  }, 30_000);
  afterAll(async () => {
    await admin?.end();
    await server?.stop();
  });

  const open = (): Promise<PostgresStore> =>
    PostgresStore.open({ connectionString: server.connectionString, table, timeout: 5_000 });
  const fresh = (): void => {
    table = `titanic_${tables++}`;
  };

  describe("as every store", () => {
    storeContract(() => {
      fresh();
      return {
        open,
        damage: async (uuid, which) => {
          await admin.query(
            `UPDATE ${table} SET ${which} = set_byte(${which}, length(${which}) - 1, 1) WHERE uuid = $1`,
            [uuid.toString("hex")],
          );
        },
      };
    });
  });

  it("gives each request to one of the machines that share it", async () => {
    fresh();
    // At once: the table is made by one of them.
    const machines = await Promise.all([open(), open(), open()]);
    const asked = Array.from({ length: 300 }, () => request());
    await Promise.all(asked.map((r, i) => machines[i % 3]?.put(r)));
    const claims = Array.from({ length: 60 }, (_, i) => machines[i % 3]?.claim(ECHO, 10, 60_000) ?? []);
    const claimed = (await Promise.all(claims)).flat().map(({ uuid }) => uuid.toString("hex"));
    expect(new Set(claimed).size).toBe(claimed.length);
    for (;;) {
      const more = (await machines[0]?.claim(ECHO, 100, 60_000)) ?? [];
      if (more.length === 0) break;
      claimed.push(...more.map(({ uuid }) => uuid.toString("hex")));
    }
    expect(claimed.sort()).toEqual(asked.map(({ uuid }) => uuid.toString("hex")).sort());
    await Promise.all(machines.map((machine) => machine.close()));
  });

  it("gives a request to another machine when the lease is over, and puts back only one's own", async () => {
    fresh();
    const [one, two] = [await open(), await open()];
    const asked = request();
    await one.put(asked);
    expect(await one.claim(ECHO, 1, 0)).toHaveLength(1);
    expect((await two.claim(ECHO, 1, 60_000))[0]?.attempts).toBe(2);
    await one.release(asked.uuid, 0);
    expect(await one.claim(ECHO, 1, 0)).toEqual([]);
    await two.release(asked.uuid, 0);
    expect(await one.claim(ECHO, 1, 0)).toHaveLength(1);
    await one.close();
    await two.close();
  });

  it("loses nothing acknowledged when the server crashes, says so meanwhile, and goes on afterwards", async () => {
    fresh();
    const store = await open();
    const asked = Array.from({ length: 100 }, () => request());
    await Promise.all(asked.map((r) => store.put(r)));
    await server.kill();
    await expect(store.put(request())).rejects.toMatchObject({ code: "ERR_STORE", reason: "failed" });
    await expect(store.look((asked[0] as (typeof asked)[0]).uuid)).rejects.toMatchObject({
      code: "ERR_STORE",
    });
    await server.run();
    expect(await store.claim(ECHO, 200, 60_000)).toHaveLength(100);
    await store.close();
  });

  it("commits to the disk although the database says that it need not", async () => {
    fresh();
    await admin.query("ALTER DATABASE postgres SET synchronous_commit = off");
    const store = await open();
    await store.put(request());
    await store.close();
    await admin.query("ALTER DATABASE postgres RESET synchronous_commit");
  });

  it("refuses a table's name that is none, and tells of a database that does not answer", async () => {
    await expect(PostgresStore.open({ table: "a; DROP TABLE b" })).rejects.toMatchObject({ code: "EINVAL" });
    await expect(
      PostgresStore.open({ connectionString: "postgres://x@127.0.0.1:1/x", timeout: 2_000 }),
    ).rejects.toMatchObject({ code: "ERR_STORE", reason: "failed" });
  });
});
