import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { Dealer, Publisher } from "../../../src/index.js";
import { type BinaryStar, CloneLmdbStore, CloneServer } from "../../../src/patterns/index.js";
import { failure, until, within } from "../../contract/support/wait.js";
import { cloneRig, HEARTBEAT } from "./rig.js";

const { folder, join_, track } = cloneRig();

type Role = "primary" | "backup";

describe("a pair", () => {
  const endpointOf = (role: Role, at: string): string => `ipc://${join(at, role)}`;

  /** Those that reported it: one may before its bind has ended. */
  const diverged = new WeakSet<CloneServer>();

  /** Not bound yet. @param store its name in the folder */
  function create(role: Role, at: string, heartbeatInterval: number, store = ""): CloneServer {
    const pair = { role, peer: endpointOf(role === "primary" ? "backup" : "primary", at) };
    const its = store === "" ? {} : { store: CloneLmdbStore.open(join(at, store)) };
    const server = track(new CloneServer({ pair, heartbeatInterval, ...its }));
    server.events.on("map:diverged", () => void diverged.add(server));
    return server;
  }

  /** @param options `serves`: the operator says so */
  async function open(
    role: Role,
    at: string,
    { heartbeatInterval = 2 * HEARTBEAT, store = "", serves = false } = {},
  ): Promise<CloneServer> {
    const server = create(role, at, heartbeatInterval, store);
    await server.bind(endpointOf(role, at));
    if (serves) server.star?.resolve("active");
    return server;
  }

  test("two stores of different maps are not mixed: nobody follows until the operator says so", async () => {
    const at = folder();
    for (const role of ["primary", "backup"] as const) {
      const server = await open(role, at, { store: `store-${role}`, serves: true });
      const client = await join_(server.endpoints.snapshot, { heartbeatInterval: 2 * HEARTBEAT });
      await within(client.set(role, "x"), "a set");
      await Promise.all([client.close(), server.close()]);
    }
    const primary = await open("primary", at, { store: "store-primary" });
    const backup = await open("backup", at, { store: "store-backup" });
    await until(() => primary.star?.state === "fenced" && backup.star?.state === "fenced", "both are fenced");
    expect([primary.stats().entries, backup.stats().entries]).toEqual([1, 1]);
    backup.star?.resolve("passive");
    await until(() => primary.star?.stats().peer === "passive", "the loser yields");
    primary.star?.resolve("active");
    await until(() => diverged.has(backup), "the report of the backup");
    await until(() => primary.stats().replicated, "the backup has the primary's map");
    expect([backup.get("primary") !== undefined, backup.get("backup")]).toEqual([true, undefined]);
    const ends = [primary.endpoints.snapshot, backup.endpoints.snapshot];
    const client = await join_(ends, { heartbeatInterval: 2 * HEARTBEAT });
    const before = await within(client.set("before", "x"), "a set at the primary");
    await primary.close();
    expect(await within(client.set("after", "x"), "a set at the backup")).toBeGreaterThan(before);
    await Promise.all([client.close(), backup.close()]);
    const keys: string[] = [];
    await track(CloneLmdbStore.open(join(at, "store-backup"))).load(({ key }) => keys.push(String(key)));
    expect(keys).toEqual(["after", "before", "primary"]);
  });

  test("a server of another version is reported by its states", async () => {
    const at = folder();
    const primary = await open("primary", at, { store: "store", serves: true });
    const client = await join_(primary.endpoints.snapshot, { heartbeatInterval: 2 * HEARTBEAT });
    const told = new Promise((resolve) => primary.events.on("peer:incompatible", resolve));
    const state = track(new Publisher({ linger: 0 }));
    await state.bind(`${endpointOf("backup", at)}-3`);
    await state.waitForSubscribers();
    await state.send("2");
    await within(told, "the state tells");
    expect([client.state, primary.stats().serving]).toEqual(["live", true]);
  });

  test("a client without a UUID of its own is served too, and a passive server answers no request", async () => {
    const [at, calm] = [folder(), { heartbeatInterval: 4 * HEARTBEAT }];
    const [primary, backup] = [await open("primary", at, calm), await open("backup", at, calm)];
    await until(() => primary.stats().replicated, "the backup has the map");
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

  test("a large map is sent to the end to a client that asked during a doubt, and not at the next heartbeat", async () => {
    const server = await open("primary", folder(), { heartbeatInterval: 60_000, serves: true });
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
    const server = await open("primary", folder(), { heartbeatInterval: HEARTBEAT, serves: true });
    expect(server.set("k", "v")).toBe(true);
    await server.star?.close();
    await until(() => !server.stats().serving, "it stops");
    expect(server.set("k", "w")).toBe(false);
  });

  test("an endpoint that another has, of the five, leaves none bound, and the next may be free", async () => {
    const at = folder();
    const taken = track(new Publisher());
    const endpoint = endpointOf("primary", at);
    await taken.bind(`${endpoint}-3`);
    const server = create("primary", at, 60_000);
    expect(await failure(server.bind(endpoint))).toMatchObject({ code: "EADDRINUSE" });
    await taken.close();
    await server.bind(endpoint);
    server.star?.resolve("active");
    expect(server.set("k", "v")).toBe(true);
  });
});
