import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PostgresSessionStore } from "../../src/sessions/postgres-store.js";
import { PostgresProxy } from "../patterns/titanic/postgres-proxy.js";
import { PostgresServer } from "../patterns/titanic/postgres-server.js";
import { start } from "../process/child.js";
import { missing } from "../support/peers.js";
import { sessionStoreContract } from "./store-contract.js";

describe.skipIf(missing("postgresql"))("sessions in PostgreSQL", () => {
  let server: PostgresServer;
  let tables = 0;
  beforeAll(async () => {
    server = await PostgresServer.start();
  }, 30_000);
  afterAll(async () => {
    await server?.stop();
  });

  describe.each([
    ["locks", ""],
    ["locks", "?options=-c default_transaction_isolation=repeatable\\ read"],
    ["serializable", ""],
  ] as const)("with %s, %j, as every store", (isolation, parameters) => {
    sessionStoreContract((isFirst) => {
      if (isFirst) tables += 1;
      return PostgresSessionStore.open({
        connectionString: server.connectionString + encodeURI(parameters),
        table: `sessions_${tables}`,
        isolation,
      });
    }, true);
  });

  it("takes the locks of a machine that is cut off during its commit", { timeout: 30_000 }, async () => {
    const proxy = await PostgresProxy.start(server.port);
    const table = "cut_off";
    const open = (connectionString: string, timeout: number): Promise<PostgresSessionStore> =>
      PostgresSessionStore.open({ connectionString, table, timeout });
    const [lost, other] = [
      await open(proxy.connectionString, 500),
      await open(server.connectionString, 20_000),
    ];
    const value = Buffer.from("value");
    const writes = [{ key: "key", value }];
    const isLost = proxy.loseAt(/COMMIT\b/);
    const outcome = lost.commit([], writes).catch(({ reason }) => reason);
    await isLost;
    expect(await other.commit([], writes)).toBe(true);
    expect(await outcome).toBe("outcome-unknown");
    await Promise.all([lost.close(), other.close()]);
    await proxy.stop();
  });

  it("commits a message's copies for many sessions, although they are longer than a string can be", async () => {
    const { connectionString } = server;
    const store = await PostgresSessionStore.open({ connectionString, table: "copies" });
    const value = Buffer.alloc(10_000_000, 1);
    const copies = Array.from({ length: 28 }, (_, i) => ({ key: `q/${i}`, value }));
    expect(await store.commit([], copies)).toBe(true);
    const [last] = await store.read(["q/27"]);
    expect(last?.value.equals(value)).toBe(true);
    await store.close();
  });

  it("lets the process end after close, although the server is stopped", { timeout: 30_000 }, async () => {
    const child = start(
      `import { PostgresSessionStore } from "shoal/sessions";
       const connectionString = process.argv.at(-1);
       const store = await PostgresSessionStore.open({ connectionString, table: "stopped" });
       console.log("open");
       process.stdin.once("data", () => store.close().then(() => process.stdin.destroy()));`,
      { args: [server.connectionString], limit: 10_000 },
    );
    await child.heard("open");
    await server.signal("SIGSTOP");
    try {
      child.write("close\n");
      expect(await child.outcome).toMatchObject({ code: 0, stderr: "" });
    } finally {
      await server.signal("SIGCONT");
    }
  });

  it("refuses a name that is not one of a table, and a server that is not there", async () => {
    await expect(PostgresSessionStore.open({ table: "a; DROP TABLE b" })).rejects.toMatchObject({
      code: "EINVAL",
    });
    const connectionString = "postgres://shoal@127.0.0.1:1/postgres";
    await expect(PostgresSessionStore.open({ connectionString })).rejects.toMatchObject({
      code: "ERR_STORE",
      message: "The database failed, and kept nothing: connect ECONNREFUSED 127.0.0.1:1",
    });
  });
});
