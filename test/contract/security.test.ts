import { inspect } from "node:util";
import { expect, it } from "vitest";
import { Push, type Socket, type SocketEvent } from "../../src/index.js";
import { gate } from "../support/gate.js";
import { describeEngines, itIf } from "./support/engines.js";
import { CURVE_SERVER, client, curveClient, plain, server, stranger } from "./support/keys.js";
import { arrives, collect, failure, nextEvent, thrown, until, within } from "./support/wait.js";

/** Ways to print an object. */
const WAYS = [
  {},
  { depth: Number.POSITIVE_INFINITY },
  { depth: Number.POSITIVE_INFINITY, showHidden: true, getters: false },
  { depth: Number.POSITIVE_INFINITY, customInspect: false },
];

/** All events of a socket, as they come. */
function record(socket: Socket): SocketEvent[] {
  const all: SocketEvent[] = [];
  void (async () => {
    for await (const event of socket.events) all.push(event);
  })();
  return all;
}

describeEngines("security", (world) => {
  const itAsks = itIf(world.engine, world.engine !== "libzmq", "has no authenticate");

  it("a mechanism that does not match is a typed event on the side that hears of it; others go on", async () => {
    const servers = {
      null: {},
      ...(world.engine === "libzmq" ? {} : { plain: { plainServer: true, authenticate: () => true } }),
      curve: CURVE_SERVER,
    };
    const clients = { null: { reconnectInterval: 20 }, plain: plain("u", "p"), curve: curveClient() };
    for (const [at, serverOptions] of Object.entries(servers)) {
      const pull = world.pull(serverOptions);
      const endpoint = await world.bind(pull);
      const fitting = world.connect(world.push(clients[at as keyof typeof clients]), endpoint);
      for (const [as, clientOptions] of Object.entries(clients)) {
        if (as === at) continue;
        const push = world.push(clientOptions);
        const failed = Promise.race([
          nextEvent(pull, "handshake:error:protocol"),
          nextEvent(push, "handshake:error:protocol"),
        ]);
        push.connect(endpoint);
        push.trySend("must not arrive");
        expect((await failed).error.code, `${as} to ${at}`).toBe("ERR_ZMTP_MECHANISM_MISMATCH");
        await push.close({ linger: 0 });
      }
      await arrives(`fits ${at}`, fitting, pull);
      expect(pull.stats()).toMatchObject({ received: 1 });
      await Promise.all([pull.close({ linger: 0 }), fitting.close({ linger: 0 })]);
    }
  });

  itAsks("NULL peers are asked for by address", async () => {
    const seen: { mechanism: string; address: string }[] = [];
    let allow = true;
    const pull = world.pull({
      authenticate: (peer) => {
        seen.push(peer);
        return allow;
      },
    });
    const endpoint = await world.bind(pull);
    const [friend, foe] = [world.push(), world.push()];
    friend.connect(endpoint);
    await arrives("x", friend, pull);
    expect(seen[0]).toMatchObject({ mechanism: "NULL", address: "127.0.0.1" });
    allow = false;
    const refused = nextEvent(pull, "peer:refused");
    foe.connect(endpoint);
    expect((await refused).mechanism).toBe("NULL");
    expect((await failure(foe.ready({ timeout: 4_000 }))).code).toBe("ERR_AUTHENTICATION");
  });

  for (const how of ["throws", "rejects"])
    itAsks(`a hook that ${how} refuses the peer, with its error as cause`, async () => {
      const away = new Error("the database is down");
      const authenticate = (): Promise<boolean> => {
        if (how === "throws") throw away;
        return Promise.reject(away);
      };
      const pull = world.pull({ authenticate });
      const endpoint = await world.bind(pull);
      const push = world.push();
      const refused = nextEvent(pull, "peer:refused");
      push.connect(endpoint);
      expect((await refused).error.cause).toBe(away);
      expect((await failure(push.ready({ timeout: 4_000 }))).code).toBe("ERR_AUTHENTICATION");
    });

  itAsks("each socket's hook checks its own peers only, with the socket's zapDomain", async () => {
    const domains: string[] = [];
    const pulls = ["one", "two"].map((zapDomain) =>
      world.pull({
        zapDomain,
        plainServer: true,
        authenticate: ({ domain, username }) => {
          domains.push(domain);
          return username === zapDomain;
        },
      }),
    );
    for (const [i, name] of ["one", "two"].entries()) {
      const push = world.push(plain(name, "any"));
      await world.link(pulls[i] as Socket, push);
      await push.send(name);
      expect(await collect(pulls[i] as (typeof pulls)[number], 1)).toEqual([name]);
    }
    expect(domains).toEqual(["one", "two"]);
  });

  itAsks("no secret is in any error, event or printed form", async () => {
    const secrets = [
      client.secretKey,
      stranger.secretKey,
      server.secretKey,
      "pass-phrase-1",
      "another-password",
    ];
    const texts: string[] = [];
    const note = (value: unknown): void => {
      const error = value as Error;
      texts.push(String(error), error.stack ?? "", JSON.stringify(error), String(error.cause ?? ""));
      for (const way of WAYS) texts.push(inspect(value, way));
    };
    for (const options of [
      { curveSecretKey: `${client.secretKey}x` },
      { curveSecretKey: client.secretKey.slice(1) },
      { plainPassword: `pass-phrase-1\0${"x".repeat(300)}` },
    ])
      note(thrown(() => world.push(options)));
    const open = world.push({ curveSecretKey: client.secretKey, plainPassword: "pass-phrase-1" });
    note(await failure(open.bind("tcp://127.0.0.1:*")));
    open.plainPassword = "another-password";
    for (const value of [open, world.context, open.events, { open }]) note(value);
    const pull = world.pull({ plainServer: true, authenticate: () => false });
    const push = world.push(plain("user", "pass-phrase-1"));
    const events = [record(pull), record(push)];
    await world.link(pull, push);
    await nextEvent(pull, "peer:refused");
    note(await failure(push.ready({ timeout: 4_000 })));
    await until(() => events.every((list) => list.length > 2), "events");
    for (const event of events.flat()) {
      texts.push(JSON.stringify(event));
      if ("error" in event) note(event.error);
    }
    expect(texts.length).toBeGreaterThan(10);
    for (const secret of secrets) for (const text of texts) expect(text.includes(secret)).toBe(false);
  });

  it("a printed socket has its class, endpoints, own fields and public keys, and no secret", () => {
    class Named extends Push {
      label = "mine";
    }
    const push = world.own(new Named({ context: world.context, ...curveClient() }));
    push.connect("tcp://127.0.0.1:1");
    const text = inspect(push);
    expect(text).toMatch(/^Named \{/);
    for (const part of [
      "tcp://127.0.0.1:1",
      "label: 'mine'",
      "curveSecretKey: '[redacted]'",
      client.publicKey,
    ])
      expect(text).toContain(part);
    expect(push.curveSecretKey).toBe(client.secretKey);
  });

  const itRevokes = itIf(world.engine, world.engine !== "libzmq", "cannot disconnect a single peer");

  itRevokes("revoke disconnects the peers it picks, and keeps the others", async () => {
    const revoked = new Set<string | undefined>();
    const pull = world.pull({ ...CURVE_SERVER, authenticate: ({ publicKey }) => !revoked.has(publicKey) });
    const [one, two] = [world.push(curveClient()), world.push(curveClient(stranger))];
    await world.link(pull, one, two);
    await within(pull.ready({ peers: 2 }), "two peers");
    revoked.add(client.publicKey);
    const left = nextEvent(pull, "peer:leave");
    expect(pull.revoke(({ publicKey }) => publicKey === client.publicKey)).toBe(1);
    await left;
    await arrives("still here", two, pull);
  });

  itRevokes("revoke refuses a match that returns a promise, or throws, and disconnects none", async () => {
    const [pull, one, two] = await world.linked(world.pull({}), world.push({}), world.push({}));
    await within(pull.ready({ peers: 2 }), "two peers");
    expect(thrown(() => pull.revoke((async () => false) as never)).code).toBe("EINVAL");
    const rejects = async (): Promise<boolean> => Promise.reject(new Error("no"));
    expect(thrown(() => pull.revoke(rejects as never)).code).toBe("EINVAL");
    let calls = 0;
    const throws = (): boolean => {
      calls += 1;
      if (calls === 2) throw new Error("the second peer");
      return true;
    };
    expect(() => pull.revoke(throws)).toThrow("the second peer");
    await one.send("1");
    await two.send("2");
    expect((await collect(pull, 2)).sort()).toEqual(["1", "2"]);
    expect(pull.stats().peers).toBe(2);
  });

  itRevokes("revoke ends a handshake whose hook decided before the key was revoked", async () => {
    const allowed = new Set<string | undefined>([client.publicKey]);
    let wasAsked = false;
    const answer = gate();
    const pull = world.pull({
      ...CURVE_SERVER,
      authenticate: async ({ publicKey }) => {
        const isAllowed = allowed.has(publicKey);
        wasAsked = true;
        await answer.passed;
        return isAllowed;
      },
    });
    await world.link(pull, world.push(curveClient()));
    await until(() => wasAsked, "the hook");
    allowed.delete(client.publicKey);
    const refused = nextEvent(pull, "peer:refused");
    expect(pull.revoke(({ publicKey }) => publicKey === client.publicKey)).toBe(1);
    answer.open();
    await refused;
    expect(pull.stats().peers).toBe(0);
  });

  const itCannot = itIf(world.engine, world.engine === "libzmq", "can disconnect a single peer");

  itCannot("revoke and authenticate say that the engine cannot", () => {
    expect(thrown(() => world.pull({}).revoke(() => true)).code).toBe("NOT_SUPPORTED");
    const refused = thrown(() => world.pull({ ...CURVE_SERVER, authenticate: () => true }));
    expect(refused).toMatchObject({ code: "NOT_SUPPORTED", message: expect.stringContaining("27/ZAP") });
  });
});
