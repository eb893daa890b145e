/** Who is let in: only who was allowed, whatever the hook or the authentication service does. */
import { describe, expect, it } from "vitest";
import { optionValues } from "../../../src/core/option-table.js";
import { SocketType } from "../../../src/core/socket-type.js";
import { decodeZ85 } from "../../../src/core/z85.js";
import type { EngineListener } from "../../../src/engine/engine.js";
import { selectEngine } from "../../../src/engine/select.js";
import { Admission } from "../../../src/engine/zmtp/admission.js";
import type { MechanismOptions } from "../../../src/engine/zmtp/mechanism/mechanism.js";
import { NullMechanism } from "../../../src/engine/zmtp/mechanism/null.js";
import type { SocketState } from "../../../src/engine/zmtp/socket-state.js";
import type { Authenticate, Pull, PullOptions, PushOptions } from "../../../src/index.js";
import { Context, curveKeyPair, Router } from "../../../src/index.js";
import { CURVE_SERVER, curveClient, plain } from "../../contract/support/keys.js";
import { nextEvent, until } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { command, greeting } from "../../contract/support/zmtp-peer.js";
import { RawServer } from "./support/raw-server.js";

const world = new World("zmtp", "tcp");

const MECHANISMS: Record<string, [server: PullOptions, client: PushOptions]> = {
  NULL: [{}, {}],
  PLAIN: [{ plainServer: true }, plain("user", "password")],
  CURVE: [CURVE_SERVER, curveClient()],
};

const keyOf = ({ curvePublicKey }: PushOptions): string => String(decodeZ85(String(curvePublicKey)));

/** A peer comes to the socket. @returns whether it was let in */
async function comes(pull: Pull, client: PushOptions): Promise<boolean> {
  const context = pull.context;
  const endpoint = await world.bind(pull);
  let failed = 0;
  for (const type of ["handshake:error:auth", "handshake:error:other", "peer:refused", "disconnect"] as const)
    pull.events.on(type, () => void failed++);
  world.push({ ...client, context, reconnectInterval: -1 }).connect(endpoint);
  await until(() => failed > 0 || (pull.stats().peers ?? 0) > 0, "the peer's fate");
  return (pull.stats().peers ?? 0) > 0;
}

describe.each(Object.keys(MECHANISMS))("a peer by %s", (name) => {
  const [server, client] = MECHANISMS[name] as [PullOptions, PushOptions];

  it.each<[string, unknown, boolean]>([
    ["true", () => true, true],
    ["a promise of true", async () => true, true],
    ["false", () => false, false],
    ["nothing", () => undefined, false],
    ["1", () => 1, false],
    ["text", async () => "yes", false],
    ["an object", () => ({}), false],
    ["a function", () => () => true, false],
    ["a promise that rejects with true", () => Promise.reject(true), false],
  ])("is let in by a hook that gives true, and by nothing else: %s", async (_, authenticate, allowed) => {
    const pull = world.pull({ ...server, authenticate: authenticate as Authenticate });
    expect(await comes(pull, client)).toBe(allowed);
  });

  it("is refused where zapEnforceDomain asks for a service, and there is none", async () => {
    const pull = world.pull({ ...server, zapDomain: "test", zapEnforceDomain: true });
    expect(await comes(pull, client)).toBe(false);
  });

  it.each([
    ["200", true],
    ["400", false],
  ])("is authenticated by the context's service, which answers %s", async (status, allowed) => {
    const { asked, pull } = await withService({ ...server, zapDomain: "test" }, status);
    expect(await comes(pull, client)).toBe(allowed);
    const credentials = name === "CURVE" ? [keyOf(client)] : name === "PLAIN" ? ["user", "password"] : [];
    const frames = ["", "1.0", "1", "test", "127.0.0.1", "", name, ...credentials];
    expect(asked.map(([, ...request]) => request.map(String))).toEqual([frames]);
  });
});

it("is tried again for the reason that it was refused, though a listener of the refusal revokes it", async () => {
  const endpoint = await world.bind(world.pull());
  const push = world.push({ authenticate: () => false, reconnectInterval: 5 });
  push.events.on("peer:refused", () => void push.revoke(() => true));
  const retry = nextEvent(push, "connect:retry");
  push.connect(endpoint);
  expect((await retry).error?.code).toBe("ERR_AUTHENTICATION");
});

it("is let in by an engine's own listener that gives true, and by nothing else", async () => {
  for (const [answer, allowed] of [
    [true, true],
    [undefined, false],
    [1, false],
  ] as const) {
    let failed = false;
    const listener: EngineListener = {
      engineOnReadable: () => undefined,
      engineOnWritable: () => undefined,
      engineOnEvent: ({ type }) => {
        if (type === "disconnect") failed = true;
      },
      engineAuthenticate: async () => answer as never,
    };
    const socket = selectEngine("zmtp").createContext({}, false).open(SocketType.Pull, {}, listener);
    const endpoint = await socket.endpoints.bind("tcp://127.0.0.1:*");
    world.push({ reconnectInterval: -1 }).connect(endpoint);
    await until(() => failed || socket.stats().peers === 1, "the peer's fate");
    expect(socket.stats().peers).toBe(allowed ? 1 : 0);
    await socket.close(0);
  }
});

it("a peer whose service is gone when it would be asked about is refused", async () => {
  const { asked, pull, service } = await withService({ plainServer: true }, "200");
  const endpoint = await world.bind(pull);
  const peer = await world.raw(endpoint);
  peer.write(greeting("PLAIN"));
  await peer.heard(64);
  await service.close({ linger: 0 });
  peer.write(command("HELLO", "\u0001u\u0001p"));
  await peer.closed;
  expect([asked, pull.stats().peers]).toEqual([[], 0]);
});

// As libzmq has it.
it.each([
  ["NULL", 0],
  ["PLAIN", 1],
  ["CURVE", 1],
])("a %s peer without a domain is asked about %i times", async (name, times) => {
  const [server, client] = MECHANISMS[name] as [PullOptions, PushOptions];
  const { asked, pull } = await withService(server, "400");
  expect(await comes(pull, client)).toBe(times === 0);
  expect(asked).toHaveLength(times);
});

describe("options that were set in part when a connection comes about", () => {
  it("keep its peer out, and a later one gets in", async () => {
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    pull.curveServer = true;
    const refused = nextEvent(pull, "accept:error");
    await world.raw(endpoint);
    expect((await refused).error).toMatchObject({
      code: "EINVAL",
      message: expect.stringContaining("secret key"),
    });
    pull.curveSecretKey = CURVE_SERVER.curveSecretKey;
    const push = world.connect(world.push(curveClient()), endpoint);
    await push.ready();
  });

  it("are tried again by the side that connects", async () => {
    const server = new RawServer();
    const endpoint = await server.listen(world);
    const push = world.connect(world.push({ reconnectInterval: 5 }), endpoint);
    const first = await server.first();
    const { curvePublicKey, curveSecretKey, curveServerKey } = curveClient();
    push.curveServerKey = curveServerKey;
    const failed = nextEvent(push, "connect:retry", ({ error }) => error?.code === "EINVAL");
    first.destroy();
    await failed;
    const pull = world.pull(CURVE_SERVER);
    server.end();
    push.curvePublicKey = curvePublicKey;
    push.curveSecretKey = curveSecretKey;
    await pull.bind(endpoint);
    await push.ready();
  });
});

it("derives no public key again in the next handshake", () => {
  const keys: unknown[] = [];
  const server = (given: MechanismOptions) => {
    keys.push(given.curveSecretKey);
    return new NullMechanism(given);
  };
  const options = optionValues({ ...CURVE_SERVER });
  const state = { type: "Pull", options, listener: { engineAuthenticate: undefined } };
  const admission = new Admission(state as SocketState, { curve: { server, client: server } });
  admission.check();
  admission.mechanism(false);
  Object.assign(options, { curveSecretKey: curveKeyPair().secretKey });
  admission.mechanism(false);
  expect(keys[1]).toBe(keys[0]); // Where the pair is kept (mechanism/curve-box.ts).
  expect(keys[2]).toEqual(decodeZ85(String(options.curveSecretKey)));
});

/** A socket in a context with an authentication service that answers every question so. */
async function withService(options: PullOptions, status: string) {
  const context = new Context({ engine: "zmtp" });
  const service = world.own(new Router({ context }));
  await service.bind("inproc://zeromq.zap.01");
  const asked: Buffer[][] = [];
  void (async () => {
    for await (const request of service) {
      asked.push(request);
      const [address, delimiter, version, id] = request as [Buffer, Buffer, Buffer, Buffer];
      await service.send([address, delimiter, version, id, status, "", "", ""]);
    }
  })().catch(() => undefined);
  return { asked, service, pull: world.pull({ ...options, context }) };
}
