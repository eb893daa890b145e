import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { Dealer, Publisher } from "../../../src/index.js";
import { type BinaryStar, CloneLmdbStore, CloneServer } from "../../../src/patterns/index.js";
import { failure, until, within } from "../../contract/support/wait.js";
import { cloneRig, HEARTBEAT } from "./rig.js";

const { folder, join_, track } = cloneRig();

describe("a pair", () => {
  async function pair(stores = false): Promise<[CloneServer, CloneServer, string[]]> {
    const at = folder();
    const endpoints = ["p", "b"].map((name) => `ipc://${join(at, name)}`);
    const make = async (role: "primary" | "backup", n: number): Promise<CloneServer> => {
      const server = track(
        new CloneServer({
          pair: { role, peer: endpoints[1 - n] as string },
          heartbeatInterval: 4 * HEARTBEAT,
          ...(stores ? { store: CloneLmdbStore.open(join(at, `store-${role}`)) } : {}),
        }),
      );
      await server.bind(endpoints[n] as string);
      return server;
    };
    const primary = await make("primary", 0);
    const backup = await make("backup", 1);
    await until(() => primary.stats().replicated, "the backup has the map");
    return [primary, backup, endpoints];
  }

  test("the backup goes on with everything that was acknowledged", async () => {
    const [primary, backup, servers] = await pair(true);
    const client = await join_(servers, { heartbeatInterval: 4 * HEARTBEAT });
    await Promise.all(Array.from({ length: 300 }, (_, n) => client.set(`k${n}`, `v${n}`)));
    await client.set("soon", "x", { ttl: 400 });
    expect(backup.stats()).toMatchObject({ entries: 301, serving: false });
    const failOver = new Promise((resolve) => client.events.on("server:failed-over", resolve));
    const last = client.sequence;
    await primary.close();
    const sets = Array.from({ length: 50 }, (_, n) => client.set(`after${n}`, "x"));
    expect(await within(failOver, "a fail-over")).toMatchObject({ from: servers[0], to: servers[1] });
    for (const sequence of await within(Promise.all(sets), "the sets"))
      expect(sequence).toBeGreaterThan(last);
    expect(client.stats()).toMatchObject({ server: servers[1], state: "live" });
    await until(() => !client.has("soon"), "the ephemeral key ends");
    expect([client.size, backup.stats().entries]).toEqual([350, 350]);
    expect(backup.stats().applied + backup.stats().repeated).toBeGreaterThanOrEqual(50);
  });

  /** Servers of `withStore` that reported it: one may before its bind has ended. */
  const diverged = new WeakSet<CloneServer>();

  /** A server of a pair at two endpoints, with a store in a folder. @param resolved by the operator to serve */
  async function withStore(
    role: "primary" | "backup",
    at: string,
    store = `store-${role}`,
    resolved = false,
  ): Promise<CloneServer> {
    const [own, peer] = role === "primary" ? ["p", "b"] : ["b", "p"];
    const server = track(
      new CloneServer({
        pair: { role, peer: `ipc://${join(at, peer as string)}` },
        heartbeatInterval: 2 * HEARTBEAT,
        store: CloneLmdbStore.open(join(at, store)),
      }),
    );
    server.events.on("map:diverged", () => void diverged.add(server));
    await server.bind(`ipc://${join(at, own as string)}`);
    if (resolved) server.star?.resolve("active");
    return server;
  }

  test("two stores of different maps are not mixed: nobody follows until the operator says so", async () => {
    const at = folder();
    for (const role of ["primary", "backup"] as const) {
      const server = await withStore(role, at, `store-${role}`, true);
      const client = await join_(server.endpoints.snapshot, { heartbeatInterval: 2 * HEARTBEAT });
      await within(client.set(role, "x"), "a set");
      await Promise.all([client.close(), server.close()]);
    }
    const [primary, backup] = [await withStore("primary", at), await withStore("backup", at)];
    await until(() => primary.star?.state === "fenced" && backup.star?.state === "fenced", "both are fenced");
    expect([primary.stats().entries, backup.stats().entries]).toEqual([1, 1]);
    backup.star?.resolve("passive");
    await until(() => primary.star?.stats().peer === "passive", "the loser yields");
    primary.star?.resolve("active");
    await until(() => diverged.has(backup), "the report of the backup");
    await until(() => primary.stats().replicated, "the backup has the primary's map");
    expect([backup.get("primary") !== undefined, backup.get("backup")]).toEqual([true, undefined]);
  });

  test("a server of another version is reported by its states", async () => {
    const at = folder();
    const primary = await withStore("primary", at, "store", true);
    const client = await join_(primary.endpoints.snapshot, { heartbeatInterval: 2 * HEARTBEAT });
    let told = 0;
    primary.events.on("peer:incompatible", () => {
      told += 1;
    });
    const state = track(new Publisher({ linger: 0 }));
    await state.bind(`ipc://${join(at, "b-3")}`);
    await state.waitForSubscribers();
    await state.send("2");
    await until(() => told === 1, "the state tells");
    expect([client.state, primary.stats().serving]).toEqual(["live", true]);
  });

  test("a client without a UUID of its own is served too, and a passive server answers no request", async () => {
    const [primary, backup] = await pair();
    const dealer = track(new Dealer({ linger: 0 }));
    dealer.connect(backup.endpoints.snapshot);
    await dealer.send(["ICANHAZ?", ""]);
    const publisher = track(new Publisher({ linger: 0 }));
    publisher.connect(primary.endpoints.collector);
    publisher.connect(backup.endpoints.collector);
    await publisher.waitForSubscribers({ count: 2 });
    await publisher.send(["k", Buffer.alloc(8), "", "", "v"]);
    await until(() => backup.get("k") !== undefined, "both have it");
    await until(() => primary.stats().applied === 1, "the primary knows that the backup has it");
    await until(() => backup.stats().received === 1, "the client's reached it, too");
    expect(backup.stats().applied).toBe(0);
    expect((await failure(dealer.receive({ timeout: 300 }))).code).toBe("EAGAIN");
  });

  /** The primary serves without a backup. */
  async function apart(heartbeatInterval: number): Promise<CloneServer> {
    const at = folder();
    const peer = `ipc://${join(at, "b")}`;
    const server = track(new CloneServer({ pair: { role: "primary", peer }, heartbeatInterval }));
    await server.bind(`ipc://${join(at, "p")}`);
    server.star?.resolve("active");
    return server;
  }

  test("a large map is sent to the end to a client that asked during a doubt, and not at the next heartbeat", async () => {
    const server = await apart(60_000);
    const star = server.star as BinaryStar;
    const keys = 5_000;
    for (let n = 0; n < keys; n++) server.set(`k${n}`, "x");
    await until(() => server.stats().entries === keys, "the map is there");
    const asked = new Promise<void>((resolve) => {
      vi.spyOn(star, "admit").mockImplementationOnce(() => {
        resolve();
        return "hold";
      });
    });
    const dealer = track(new Dealer({ linger: 0 }));
    dealer.connect(server.endpoints.snapshot);
    await dealer.send(["ICANHAZ?", ""]);
    await within(asked, "the request");
    star.events.emit({ type: "state:changed", state: "active", from: "doubting", reason: "stalled" });
    let entries = 0;
    while (String((await within(dealer.receive(), "a whole map"))[0]) !== "KTHXBAI") entries += 1;
    expect(entries).toBe(keys);
  });

  test("a server whose Binary Star the program closes serves no longer: nobody would tell the other one that it does", async () => {
    const server = await apart(HEARTBEAT);
    expect(server.set("k", "v")).toBe(true);
    await server.star?.close();
    await until(() => !server.stats().serving, "it stops");
    expect(server.set("k", "w")).toBe(false);
  });

  test("an endpoint that another has, of the five, leaves none bound, and the next may be free", async () => {
    const at = folder();
    const taken = track(new Publisher());
    await taken.bind(`ipc://${join(at, "p-3")}`);
    const server = track(
      new CloneServer({
        pair: { role: "primary", peer: `ipc://${join(at, "b")}` },
        heartbeatInterval: 60_000,
      }),
    );
    expect(await failure(server.bind(`ipc://${join(at, "p")}`))).toMatchObject({ code: "EADDRINUSE" });
    await taken.close();
    await server.bind(`ipc://${join(at, "p")}`);
    server.star?.resolve("active");
    expect(server.set("k", "v")).toBe(true);
  });
});
