/** Addresses and keys: who gets in, who is put out, and what happens to everybody else. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { type CurveKeyPair, curveKeyPair, Pull, Push, writeCertificate } from "../../../src/index.js";
import { type SocketProxy, StreamerProxy } from "../../../src/proxy/index.js";
import { CURVE_SERVER, curveClient } from "../../contract/support/keys.js";
import { failure, until, within } from "../../contract/support/wait.js";
import { removeAfterEach } from "../../support/folders.js";
import { ANY, back, eventsOf, front, LIMIT, useWorld } from "../support.js";

describe("addresses", () => {
  const world = useWorld("zmtp");
  const { context, sides } = world;

  function pushFrom(proxy: SocketProxy, source: string): Push {
    return world.peer(
      new Push({ context, reconnectInterval: 20, reconnectMaxInterval: 50 }),
      front(proxy).replace("tcp://", `tcp://${source}:0;`),
    );
  }

  it("that are denied get no place; the others do, and each refusal is counted and reported once a burst", async () => {
    const policy = { addresses: { allow: ["127.0.0.0/24"], deny: ["127.0.0.3"] } };
    const proxy = await world.start(new StreamerProxy({ ...sides, frontend: { bind: ANY, policy } }));
    const told = eventsOf(proxy, "policy:refused");
    const shaken = eventsOf(proxy, "peer:refused");
    const sink = world.peer(new Pull({ context }), back(proxy));
    const began = performance.now();
    const [good, denied, other] = ["127.0.0.2", "127.0.0.3", "127.0.1.1"].map((source) =>
      pushFrom(proxy, source),
    );
    for (const push of [good, denied, other]) void push?.send("x").catch(() => undefined);
    expect(String(await sink.receive({ timeout: LIMIT }))).toBe("x");
    await until(() => proxy.stats().frontend.refused.address >= 6, "refusals of both");
    expect(proxy.stats().frontend.peers).toBe(1);
    // A burst ends after a second.
    expect(told.length).toBeLessThanOrEqual(1 + Math.ceil((performance.now() - began) / 1_000));
    expect(told[0]).toMatchObject({ side: "frontend", reason: "address", refused: 1 });
    expect(["127.0.0.3", "127.0.1.1"]).toContain(told[0]?.address);
    expect(shaken).toEqual([]); // It did not come to a handshake.
    expect([good, denied, other].map((push) => push?.stats().peers)).toEqual([1, 0, 0]);
  });

  it("may change: who is forbidden is disconnected, who stays notices nothing, and back again", async () => {
    const proxy = await world.start(new StreamerProxy(sides));
    const left = eventsOf(proxy, "peer:left");
    const [one, two] = [pushFrom(proxy, "127.0.0.2"), pushFrom(proxy, "127.0.0.3")];
    await Promise.all([one.ready({ timeout: LIMIT }), two.ready({ timeout: LIMIT })]);
    await proxy.setPolicy("frontend", { addresses: { deny: ["127.0.0.3/32"] } });
    await until(() => two.stats().peers === 0, "the end of the second");
    await until(() => proxy.stats().frontend.refused.address > 2, "its attempts to come back");
    expect([one.stats().peers, one.stats().reconnects, left.length]).toEqual([1, 0, 1]);
    await proxy.setPolicy("frontend", {});
    await until(() => two.stats().peers === 1, "its coming back");
    expect([one.stats().peers, one.stats().reconnects, left.length]).toEqual([1, 0, 1]);
  });

  it("of peers that the side connects to are checked, too", async () => {
    const push = world.socket(new Push({ context }));
    const connect = await push.bind(ANY);
    const policy = { addresses: { deny: ["127.0.0.0/8"] } };
    const frontend = { connect, policy, reconnectInterval: 20 };
    const proxy = await world.start(new StreamerProxy({ ...sides, frontend }));
    await until(() => proxy.stats().frontend.refused.address >= 2, "refusals");
    expect(proxy.stats().frontend.peers).toBe(0); // The other end may take the handshake for done, for a moment.
    await proxy.setPolicy("frontend", { addresses: { allow: ["127.0.0.1"] } });
    await until(() => proxy.stats().frontend.peers === 1, "its place");
  });

  it("set within the turn of the start hold", async () => {
    const proxy = new StreamerProxy(sides);
    const denied = proxy.setPolicy("frontend", { addresses: { deny: ["127.0.0.0/8"] } });
    await Promise.all([denied, world.start(proxy)]);
    world.peer(new Push({ context, reconnectInterval: 20 }), front(proxy));
    await until(() => proxy.stats().frontend.refused.address >= 1, "a refusal");
  });

  it("are not asked of peers over ipc", async () => {
    const policy = { addresses: { allow: ["192.0.2.1"] } };
    const frontend = { bind: ["ipc://*", ANY], policy };
    const proxy = await world.start(new StreamerProxy({ ...sides, frontend }));
    const push = world.peer(new Push({ context }), front(proxy));
    await push.ready({ timeout: LIMIT });
  });
});

describe("keys", () => {
  const makeFolder = removeAfterEach();
  const world = useWorld("zmtp");
  const { context } = world;
  let folder: string;
  let keys: string;

  beforeEach(async () => {
    folder = makeFolder();
    keys = join(folder, "keys");
    await mkdir(keys);
  });

  const sides = () => ({ ...world.sides, frontend: { bind: ANY, ...CURVE_SERVER, policy: { keys } } });

  function pushWith(proxy: SocketProxy, pair: CurveKeyPair): Push {
    return world.peer(new Push({ context, reconnectMaxInterval: 50, ...curveClient(pair) }), front(proxy));
  }

  const save = (name: string, text: string): Promise<void> => writeFile(join(keys, name), text);

  it("in the folder let their peers in, and no others; one that comes is known soon", async () => {
    const [known, later, stranger] = [curveKeyPair(), curveKeyPair(), curveKeyPair()];
    await writeCertificate(join(keys, "known"), { ...known, metadata: {} });
    const proxy = await world.start(new StreamerProxy(sides()));
    const told = eventsOf(proxy, "policy:refused");
    const read = eventsOf(proxy, "keys:changed");
    const one = pushWith(proxy, known);
    await one.ready({ timeout: LIMIT });
    const two = pushWith(proxy, later);
    pushWith(proxy, stranger);
    await until(() => proxy.stats().frontend.refused.key >= 4, "refusals");
    expect(told[0]).toEqual(
      expect.objectContaining({ side: "frontend", reason: "key", refused: 1, address: "127.0.0.1" }),
    );
    expect([later.publicKey, stranger.publicKey]).toContain(told[0]?.publicKey);
    await save("later", later.publicKey);
    await until(() => two.stats().peers === 1, "the second peer");
    expect(read.at(-1)).toMatchObject({ side: "frontend", keys: 2, revoked: 0, problems: [] });
    expect([one.stats().reconnects, proxy.stats().frontend.peers]).toEqual([0, 2]);
  });

  it("that go are revoked while their peer sends; the others go on, and nothing of theirs is lost", async () => {
    const [good, bad] = [curveKeyPair(), curveKeyPair()];
    await save("good", good.publicKey);
    await save("bad", bad.publicKey);
    const proxy = await world.start(new StreamerProxy(sides()));
    const read = eventsOf(proxy, "keys:changed");
    const sink = world.peer(new Pull({ context }), back(proxy));
    const got = { good: 0, bad: 0 };
    let inOrder = true;
    void (async () => {
      for await (const [name, number] of sink) {
        const from = String(name) as keyof typeof got;
        if (from === "good") inOrder &&= Number(number) === got.good;
        got[from] += 1;
      }
    })();
    let sending = true;
    let sent = 0;
    const [one, two] = [pushWith(proxy, good), pushWith(proxy, bad)];
    const running = [
      (async () => {
        while (sending) await one.send(["good", `${sent++}`]);
      })(),
      (async () => {
        while (sending) await two.send(["bad", ""]);
      })().catch(() => undefined), // Its socket is closed at the end.
    ];
    await until(() => got.good > 100 && got.bad > 100, "messages of both");
    await rm(join(keys, "bad"));
    await until(() => two.stats().peers === 0, "the end of the revoked peer");
    await until(() => proxy.stats().frontend.refused.key >= 4, "its attempts to come back");
    // What had come of it before passes on; then there is nothing any more.
    for (let last = -1; last !== got.bad; ) {
      last = got.bad;
      const before = got.good;
      await until(() => got.good > before + 100, "more of the good one");
    }
    expect(read.at(-1)).toMatchObject({ keys: 1, revoked: 1, problems: [] });
    sending = false;
    await two.close({ linger: 0 });
    await within(Promise.all(running), "the senders");
    await until(() => got.good === sent, "all of the good one");
    expect(inOrder).toBe(true);
    expect([one.stats().reconnects, one.stats().dropped.disconnected]).toEqual([0, 0]);
  });

  it("in garbage count as no keys: each bad file is reported by its name, and the good ones count", async () => {
    const [good, old] = [curveKeyPair(), curveKeyPair()];
    await save("good", good.publicKey);
    await save("binary", Buffer.alloc(3_000, 0xff).toString("latin1"));
    await save("half", good.publicKey.slice(0, 20));
    await save("long", "x".repeat(70_000));
    await save(".hidden", "not looked at");
    await save("mine_secret", "not looked at");
    await save("old~", old.publicKey);
    await mkdir(join(keys, "folder"));
    const proxy = new StreamerProxy(sides());
    const read = eventsOf(proxy, "keys:changed");
    await world.start(proxy);
    expect(read).toHaveLength(1);
    expect(read[0]?.problems.map((problem) => problem.split(":")[0])).toEqual(["binary", "half", "long"]);
    const push = pushWith(proxy, good);
    await push.ready({ timeout: LIMIT });
    pushWith(proxy, old);
    await until(() => proxy.stats().frontend.refused.key >= 1, "the refusal of the old key");
    expect(proxy.stats().frontend.peers).toBe(1);
    // Even its own file may turn to garbage: a file that cannot be read gives no key.
    await save("good", "oops");
    await until(() => push.stats().peers === 0, "the end of its peer");
    expect(read.at(-1)).toMatchObject({ keys: 0, revoked: 1 });
    await save("good.new", good.publicKey);
    await until(() => push.stats().peers === 1, "its coming back");
  });

  it("are checked before the program's own hook, which is asked about those in the folder only", async () => {
    const [known, odd, stranger] = [curveKeyPair(), curveKeyPair(), curveKeyPair()];
    await save("known", `${known.publicKey}\n${odd.publicKey}\n`);
    const asked: (string | undefined)[] = [];
    const { frontend, ...rest } = sides();
    const authenticate = ({ publicKey }: { publicKey?: string }): boolean => {
      asked.push(publicKey);
      return publicKey !== odd.publicKey;
    };
    const proxy = await world.start(new StreamerProxy({ frontend: { ...frontend, authenticate }, ...rest }));
    const push = pushWith(proxy, known);
    await push.ready({ timeout: LIMIT });
    pushWith(proxy, stranger);
    await until(() => proxy.stats().frontend.refused.key >= 2, "the stranger");
    pushWith(proxy, odd);
    await until(() => asked.includes(odd.publicKey), "the hook");
    expect(asked).not.toContain(stranger.publicKey);
    expect(proxy.stats().frontend.peers).toBe(1);
  });

  it("that go while the hook decides about their peer do not let it in", async () => {
    const known = curveKeyPair();
    await save("known", known.publicKey);
    let decide: (allowed: boolean) => void = () => undefined;
    let asked = 0;
    const { frontend, ...rest } = sides();
    const authenticate = (): Promise<boolean> => {
      asked += 1;
      return new Promise((resolve) => (decide = resolve));
    };
    const proxy = await world.start(new StreamerProxy({ frontend: { ...frontend, authenticate }, ...rest }));
    const read = eventsOf(proxy, "keys:changed");
    const joined = eventsOf(proxy, "peer:joined");
    pushWith(proxy, known);
    await until(() => asked === 1, "the hook");
    await rm(join(keys, "known"));
    await until(() => read.length === 1, "the end of the key");
    decide(true);
    await until(() => proxy.stats().frontend.refused.key >= 2, "refusals");
    expect([joined, asked]).toEqual([[], 1]);
  });

  it("may be asked for while peers are there: those without are put out; and not any more", async () => {
    const [known, other] = [curveKeyPair(), curveKeyPair()];
    await save("known", known.publicKey);
    const { frontend, ...rest } = sides();
    const proxy = await world.start(new StreamerProxy({ frontend: { ...frontend, policy: {} }, ...rest }));
    const [one, two] = [pushWith(proxy, known), pushWith(proxy, other)];
    await Promise.all([one.ready({ timeout: LIMIT }), two.ready({ timeout: LIMIT })]);
    await proxy.setPolicy("frontend", { keys });
    await until(() => one.stats().peers === 1 && two.stats().peers === 0, "just the first");
    await proxy.setPolicy("frontend", {});
    await until(() => one.stats().peers === 1 && two.stats().peers === 1, "both");
  });

  it("are read as long as their policy is in force", async () => {
    const start = () => world.start(new StreamerProxy(sides()));
    const [open, lifted, closed] = [await start(), await start(), await start()];
    const proxies = [open, lifted, closed];
    const read = proxies.map((proxy) => eventsOf(proxy, "keys:changed"));
    await lifted.setPolicy("frontend", {});
    await closed.close();
    for (const name of ["one", "two", "three"]) {
      const before = read[0]?.length ?? 0;
      await save(name, curveKeyPair().publicKey);
      await until(() => read[0]?.length === before + 1, `${name} at the first proxy`);
    }
    expect(read.slice(1)).toEqual([[], []]);
    await open.close();
  });

  it("in a folder that is not there start nothing, and change nothing; it is named", async () => {
    const missing = join(folder, "missing");
    const { frontend, ...rest } = sides();
    const bad = new StreamerProxy({ frontend: { ...frontend, policy: { keys: missing } }, ...rest });
    const refused = { code: "EINVAL", message: expect.stringContaining(missing) };
    expect(await failure(bad.start())).toMatchObject(refused);
    const known = curveKeyPair();
    await save("known", known.publicKey);
    const proxy = await world.start(new StreamerProxy(sides()));
    const push = pushWith(proxy, known);
    await push.ready({ timeout: LIMIT });
    expect(await failure(proxy.setPolicy("frontend", { keys: missing }))).toMatchObject(refused);
    expect((await failure(proxy.setPolicy("frontend", { limits: 1 } as never))).code).toBe("EINVAL");
    expect((await failure(proxy.setPolicy("capture" as never, {}))).code).toBe("EINVAL");
    pushWith(proxy, curveKeyPair());
    await until(() => proxy.stats().frontend.refused.key >= 1, "a refusal by the old policy");
    expect([push.stats().peers, push.stats().reconnects]).toEqual([1, 0]);
    await proxy.close();
    expect((await failure(proxy.setPolicy("frontend", {}))).code).toBe("EBADF");
  });
});

describe("a policy on libzmq", () => {
  const world = useWorld("libzmq");
  const { sides } = world;

  it.each([
    ["addresses", { addresses: {} }],
    ["a size of messages", { limits: { messageSize: 1_000 } }],
    ["a rate for each peer", { limits: { peer: { messages: 1 } } }],
  ])("that needs to know each peer is not supported: %s", async (what, policy) => {
    const proxy = new StreamerProxy({ ...sides, frontend: { bind: ANY, policy } });
    const error = await failure(proxy.start());
    expect(error).toMatchObject({ code: "NOT_SUPPORTED", message: expect.stringContaining(what) });
    const running = await world.start(new StreamerProxy(sides));
    expect((await failure(running.setPolicy("frontend", policy))).code).toBe("NOT_SUPPORTED");
    expect(running.state).toBe("running");
  });
});
