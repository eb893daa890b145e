/** The store on PostgreSQL, whose server is started here: in the long form alone. What every store promises is tried on LMDB by default. */
import { createRequire } from "node:module";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/majordomo/index.js";
import {
  PostgresStore,
  type PostgresStoreOptions,
  Titanic,
  TitanicClient,
} from "../../../src/patterns/titanic/index.js";
import type { PgPool } from "../../../src/store/postgres.js";
import { held } from "../../kit/services.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { missing } from "../../support/peers.js";
import { QUICK } from "./open.js";
import { CUTS, PostgresProxy } from "./postgres-proxy.js";
import { PostgresServer } from "./postgres-server.js";
import { ECHO, request, storeContract } from "./store-contract.js";

const keep = closeAfterEach();

describe.skipIf(missing("postgresql"))("the store on PostgreSQL", () => {
  let server: PostgresServer;
  let admin: PgPool;
  let table = "";
  let tables = 0;

  beforeAll(async () => {
    server = await PostgresServer.start();
    const { Pool } = createRequire(import.meta.url)("pg") as { Pool: new (options: object) => PgPool };
    admin = new Pool({ connectionString: server.connectionString });
    admin.on("error", () => undefined);
  }, 30_000);
  afterAll(async () => {
    await admin?.end();
    await server?.stop();
  });

  const open = (options: PostgresStoreOptions = {}): Promise<PostgresStore> =>
    PostgresStore.open({ connectionString: server.connectionString, table, ...options });
  const fresh = (): void => {
    table = `titanic_${tables++}`;
  };

  describe("as every store", () => {
    storeContract(() => {
      fresh();
      return {
        open: () => open(),
        damage: async (uuid, which) => {
          await admin.query(
            `UPDATE ${table} SET ${which} = set_byte(${which}, length(${which}) - 1, 1) WHERE uuid = $1`,
            [uuid.toString("hex")],
          );
        },
      };
    });
  });

  it("keeps a dead letter's reason whatever its letters and the database's encoding are", async () => {
    await admin.query("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    const connectionString = server.connectionString.replace(/\w+$/, "latin");
    const store = await PostgresStore.open({ connectionString });
    const asked = request();
    await store.put(asked);
    await store.claim(ECHO, 1, 60_000);
    const letter = { attempts: 1, reason: "→ \u0000 壊れた", died: Date.now(), expires: Date.now() + 60_000 };
    expect(await store.markDead(asked.uuid, letter)).toBe(true);
    expect(await store.look(asked.uuid)).toEqual({ state: "dead", reason: letter.reason });
    expect(await store.deadLetters(10)).toMatchObject([letter]);
    await store.close();
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
    expect(await two.claim(ECHO, 1, 60_000)).toHaveLength(1);
    await one.release(asked.uuid, 0, true);
    expect(await one.claim(ECHO, 1, 0)).toEqual([]);
    await two.release(asked.uuid, 0, false);
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

  describe("when a connection is cut", () => {
    let proxy: PostgresProxy;
    let store: PostgresStore;

    beforeAll(async () => {
      proxy = await PostgresProxy.start(server.port);
      fresh();
      const { connectionString } = proxy;
      store = await open({ connectionString, timeout: 5_000, maxConnections: 1 });
    });
    afterAll(async () => {
      await store.close();
      await proxy.stop();
    });

    const STATEMENTS = [/BEGIN/, /INSERT/, /COMMIT\b/];
    const places = STATEMENTS.flatMap((statement) => CUTS.map((cut) => ({ statement, cut })));

    it.each(
      places,
    )("at $statement, $cut, it says what is known of the request, and a repetition finds out", async ({
      statement,
      cut,
    }) => {
      const asked = request();
      const done = proxy.cutAt(statement, cut);
      const outcome = store.put(asked).then(String, ({ code, reason }) => `${code} ${reason}`);
      await done;
      const [isCommit, isLate] = [statement.source.startsWith("COMMIT"), cut === "after its answer"];
      const isStored = isCommit && cut !== "before it arrives";
      // Cut after INSERT, it is COMMIT that gets no answer.
      const isUnknown = isCommit || (isLate && statement.source === "INSERT");
      if (isCommit && isLate) expect(await outcome).toBe("true");
      else expect(await outcome).toBe(`ERR_STORE ${isUnknown ? "outcome-unknown" : "failed"}`);
      expect((await store.look(asked.uuid)).state).toBe(isStored ? "pending" : "unknown");
      expect(await store.put(asked)).toBe(!isStored);
      expect((await store.look(asked.uuid)).state).toBe("pending");
      await store.forget(asked.uuid);
    });

    it("by an operator, in the middle of a transaction and while it is idle, it goes on", async () => {
      const ours = "FROM pg_stat_activity WHERE application_name = 'shoal titanic'";
      const terminate = async (): Promise<void> => {
        expect((await admin.query(`SELECT pg_terminate_backend(pid) ${ours}`)).rowCount).toBe(1);
      };
      const [one, two] = [request(), request()];
      const other = await admin.connect();
      await other.query("BEGIN");
      await other.query(`LOCK TABLE ${table} IN SHARE ROW EXCLUSIVE MODE`);
      const put = expect(store.put(one)).rejects.toMatchObject({ code: "ERR_STORE", reason: "failed" });
      await expect
        .poll(async () => (await admin.query(`SELECT 1 ${ours} AND wait_event_type = 'Lock'`)).rowCount)
        .toBe(1);
      await terminate();
      await put;
      await other.query("ROLLBACK");
      other.release();
      expect(await store.put(one)).toBe(true);
      await terminate();
      expect((await store.look(one.uuid)).state).toBe("pending");
      expect(await store.put(two)).toBe(true);
      await Promise.all([one, two].map(({ uuid }) => store.forget(uuid)));
    });

    it("before the answer to a reply that was kept, that is unknown, and then known", async () => {
      const asked = request();
      await store.put(asked);
      await store.claim(ECHO, 1, 60_000);
      const answer = (): Promise<boolean> =>
        store.answer(asked.uuid, [Buffer.from("r")], Date.now() + 60_000);
      const done = proxy.cutAt(/COMMIT\b/, "before its answer");
      await expect(answer()).rejects.toMatchObject({ reason: "outcome-unknown" });
      await done;
      expect(await answer()).toBe(false);
      expect(await store.look(asked.uuid)).toEqual({ state: "answered", reply: [Buffer.from("r")] });
    });
  });

  it("lets Titanic go on by itself when the database was away for some time", {
    timeout: 60_000,
  }, async () => {
    fresh();
    const store = await open();
    const endpoint = await keep(new MajordomoBroker()).bind("tcp://127.0.0.1:*");
    const titanic = keep(new Titanic(endpoint, store, { ...QUICK, replyTtl: 60_000 }));
    const client = new TitanicClient(keep(new MajordomoClient(endpoint, { retries: 0 })));
    const { handler, started: working, open: finish } = held();
    let calls = 0;
    const count = (frames: Buffer[]) => {
      calls += 1;
      return handler(frames);
    };
    keep(new MajordomoWorker(endpoint, "echo", count));
    const [inHand, waits] = [await client.request("echo", "1"), await client.request("later", "2")];
    await working;
    await server.kill();
    await expect(client.request("echo", "3")).rejects.toMatchObject({ code: "ERR_STORE" });
    // The work is done while nobody can keep its reply.
    const failed = new Promise((resolve) => titanic.events.on("store:failed", resolve));
    finish();
    await failed;
    await server.run();
    keep(new MajordomoWorker(endpoint, "later", (frames) => frames));
    const wait = { interval: 20, maxInterval: 100 };
    expect((await client.wait(inHand, wait)).status).toBe("200");
    expect((await client.wait(waits, wait)).status).toBe("200");
    expect(calls).toBe(1);
    await titanic.close({ linger: 0 });
    await store.close();
  });

  it("finishes what has begun when it closes, on one connection, too", async () => {
    fresh();
    const store = await open({ maxConnections: 1, timeout: 5_000 });
    const asked = request();
    await store.put(asked);
    const found = [store.look(asked.uuid), store.look(asked.uuid), store.claim(ECHO, 1, 60_000)];
    await store.close();
    expect(await Promise.all(found)).toMatchObject([{ state: "pending" }, { state: "pending" }, [{}]]);
  });

  it("commits to the disk although the database says that it need not", async () => {
    fresh();
    await admin.query("ALTER DATABASE postgres SET synchronous_commit = off");
    const store = await open();
    // What holds for a transaction when it commits.
    await admin.query(`CREATE TABLE commits (durability text);
      CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN INSERT INTO commits VALUES (current_setting('synchronous_commit')); RETURN NULL; END$$;
      CREATE CONSTRAINT TRIGGER note AFTER INSERT ON ${table}
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note()`);
    await store.put(request());
    await store.close();
    expect((await admin.query("SELECT durability FROM commits")).rows).toEqual([{ durability: "on" }]);
    await admin.query("ALTER DATABASE postgres RESET synchronous_commit");
  });

  it("reports a database that does not answer", async () => {
    const nobody = open({ connectionString: "postgres://x@127.0.0.1:1/x", timeout: 2_000 });
    await expect(nobody).rejects.toMatchObject({ code: "ERR_STORE", reason: "failed" });
  });
});
