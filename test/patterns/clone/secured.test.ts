/** Servers and pairs with CURVE and PLAIN: who is let in, at the clients' ports and at the pair's own. */
import { beforeEach, describe, expect, test } from "vitest";
import { decodeZ85 } from "../../../src/core/z85.js";
import { curveKeyPair, Dealer, Subscriber } from "../../../src/index.js";
import { encodePosition, NO_MAP } from "../../../src/patterns/clone/standing.js";
import {
  BinaryStar,
  CloneClient,
  type CloneClientOptions,
  type ClonePairOptions,
  CloneServer,
  type CloneServerOptions,
} from "../../../src/patterns/index.js";
import { failure, until, within } from "../../contract/support/wait.js";
import { cloneRig } from "./rig.js";

/** ms. Twice this without a word, and a server goes on alone: more than a busy machine holds a process up. */
const HEARTBEAT = 400;
/** ms for what takes handshakes and a fail-over, on a busy machine. */
const PATIENCE = 10_000;

let ends: readonly [primary: string, backup: string];

const { folder, serve, track } = cloneRig();
beforeEach(() => {
  const at = folder();
  ends = [`ipc://${at}/p`, `ipc://${at}/b`];
});

type Keys = ReturnType<typeof curveKeyPair>;
type Security = NonNullable<CloneServerOptions["socketOptions"]>;

const curveServer = ({ secretKey }: { readonly secretKey: string | Uint8Array }): Security => ({
  curveServer: true,
  curveSecretKey: secretKey,
});

const curveClient = (server: Keys, own = curveKeyPair()) => ({
  curveServerKey: server.publicKey,
  curvePublicKey: own.publicKey,
  curveSecretKey: own.secretKey,
});

function serverOf(
  role: "primary" | "backup",
  socketOptions: Security,
  pair: Omit<ClonePairOptions, "role" | "peer"> = {},
  [first, second]: readonly [primary: string, backup: string] = ends,
): Promise<CloneServer> {
  const [endpoint, peer] = role === "primary" ? [first, second] : [second, first];
  return serve({ pair: { role, peer, ...pair }, heartbeatInterval: HEARTBEAT, socketOptions }, endpoint);
}

function clientOf(
  servers: ConstructorParameters<typeof CloneClient>[0],
  socketOptions: NonNullable<CloneClientOptions["socketOptions"]>,
): CloneClient {
  return track(new CloneClient(servers, { socketOptions, heartbeatInterval: HEARTBEAT }));
}

/** Sets keys at the first server, closes it, and finds them at the other. */
async function failsOver(primary: CloneServer, backup: CloneServer, map: CloneClient): Promise<void> {
  await until(() => primary.stats().serving && primary.stats().replicated, "a pair in step", PATIENCE);
  await within(map.ready(), "the map", PATIENCE);
  await map.set("before", "1");
  expect(String(backup.get("before"))).toBe("1");
  const failedOver = new Promise((resolve) => map.events.on("server:failed-over", resolve));
  await primary.close();
  await map.set("after", "2");
  expect(await failedOver).toMatchObject({ from: primary.endpoints.snapshot, to: backup.endpoints.snapshot });
  expect([String(map.get("before")), String(map.get("after"))]).toEqual(["1", "2"]);
  expect(backup.stats()).toMatchObject({ serving: true, entries: 2 });
}

describe("a pair", () => {
  // Each waits for heartbeats for most of its time: all of them at once.
  test("replicates and fails over with CURVE, and with PLAIN and a user name of its own", async () => {
    const endsOf = (name: string) => [`${ends[0]}-${name}`, `${ends[1]}-${name}`] as const;

    async function withCurve(): Promise<void> {
      const at = endsOf("curve");
      const keys = curveKeyPair();
      const primary = await serverOf("primary", curveServer(keys), {}, at);
      const bytes = { ...keys, secretKey: decodeZ85(keys.secretKey) };
      const backup = await serverOf("backup", curveServer(bytes), {}, at);
      await failsOver(primary, backup, clientOf(at, curveClient(keys)));
    }

    async function withPlain(): Promise<void> {
      const at = endsOf("plain");
      const names = new Set(["server", "client"]);
      const socketOptions: Security = {
        plainServer: true,
        authenticate: ({ username, password }) => names.has(username ?? "") && password === "ahoy",
      };
      const credentials = (plainUsername: string) => ({ plainUsername, plainPassword: "ahoy" });
      const other = { socketOptions: credentials("server") };
      const primary = await serverOf("primary", socketOptions, other, at);
      const backup = await serverOf("backup", socketOptions, other, at);
      await failsOver(primary, backup, clientOf(at, credentials("client")));
    }

    await Promise.all([withCurve(), withPlain()]);
  });

  test("lets a client in at the clients' ports, and at its own nobody but the other server", async () => {
    const keys = curveKeyPair();
    const primary = await serverOf("primary", curveServer(keys));
    const backup = await serverOf("backup", curveServer(keys));
    await until(() => primary.stats().serving && primary.stats().replicated, "a pair in step", PATIENCE);
    primary.set("secret", "1");

    // It knows the server's public key, as every client does.
    const follower = track(new Dealer({ linger: 0, ...curveClient(keys) }));
    follower.connect(`${ends[0]}-4`);
    follower.trySend([Buffer.of(0x46), Buffer.alloc(8, 1), Buffer.of(2)]);
    const listener = track(new Subscriber(curveClient(keys)));
    listener.subscribe();
    listener.connect(`${ends[0]}-3`);
    for (const stranger of [follower, listener])
      expect((await failure(stranger.ready({ timeout: PATIENCE }))).code).toBe("ERR_AUTHENTICATION");
    expect((await failure(follower.receive({ timeout: 2 * HEARTBEAT }))).code).toBe("EAGAIN");

    // On a busy machine the backup may ask again meanwhile.
    const inStep = (): boolean => primary.stats().replicated && backup.stats().replicated;
    await until(inStep, "the pair is in step", PATIENCE);
    expect([primary.stats().serving, backup.stats().serving]).toEqual([true, false]);
  });

  test("does not take a stranger at the other's address for the other, and says so", async () => {
    const impostor = await serverOf("backup", curveServer(curveKeyPair()));
    const primary = await serverOf("primary", curveServer(curveKeyPair()));
    const told = new Promise((resolve) => primary.events.on("handshake:failed", resolve));
    await within(told, "the handshake that failed", PATIENCE);
    expect([primary.star?.state, impostor.star?.state]).toEqual(["primary", "backup"]);
    expect(primary.star?.stats()).toMatchObject({ statesReceived: 0 });
    expect(impostor.star?.stats()).toMatchObject({ statesReceived: 0 });
  });

  test.each([
    [{}, { curveServer: true, curveSecretKey: Buffer.alloc(31) }],
    [{}, { curveServer: true }],
    [{ key: 1 }, {}],
  ])("refuses %o at once", async (pair, socketOptions) => {
    const server = () =>
      new CloneServer({ pair: { role: "primary", peer: ends[1], ...(pair as object) }, socketOptions });
    expect(server).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });
});

describe("a stranger", () => {
  test.each([
    ["without keys", () => ({})],
    ["with another server's key", () => curveClient(curveKeyPair())],
  ])("%s reads nothing, sets nothing, and gets an error", async (_, options) => {
    const keys = curveKeyPair();
    const server = await serve({ heartbeatInterval: HEARTBEAT, socketOptions: curveServer(keys) }, ends[0]);
    server.set("secret", "1");
    const stranger = clientOf(ends[0], options());
    const ports = new Set<string>();
    stranger.events.on("handshake:failed", ({ server, port }) => ports.add(`${server} ${port}`));
    await until(() => ports.size >= 3, "all ports refuse", PATIENCE);
    expect([...ports].sort()).toEqual(
      ["collector", "publisher", "snapshot"].map((port) => `${ends[0]} ${port}`),
    );
    expect((await failure(stranger.set("k", "v", { timeout: HEARTBEAT }))).code).toBe("ETIMEDOUT");
    expect([stranger.size, stranger.state]).toEqual([0, "syncing"]);
    expect(stranger.stats().handshakeErrors).toBeGreaterThanOrEqual(3);
    expect(server.stats()).toMatchObject({ entries: 1, received: 0 });
  });

  test("that the hook rejects gets an error, and a client that it admits is served", async () => {
    const [keys, friend] = [curveKeyPair(), curveKeyPair()];
    const authenticate: Security["authenticate"] = ({ publicKey }) => publicKey === friend.publicKey;
    const socketOptions = { ...curveServer(keys), authenticate };
    await serve({ heartbeatInterval: HEARTBEAT, socketOptions }, ends[0]);
    const known = clientOf(ends[0], curveClient(keys, friend));
    await within(known.ready(), "the map", PATIENCE);
    const stranger = clientOf(ends[0], curveClient(keys));
    const codes: string[] = [];
    stranger.events.on("handshake:failed", ({ error }) => codes.push(error.code));
    await until(() => codes.length > 0, "a refusal", PATIENCE);
    expect(codes[0]).toBe("ERR_AUTHENTICATION");
  });
});

test("a hand-over waits for the whole map: without it, it is refused", async () => {
  const server = await serverOf("primary", {});
  // A peer that stands by, and has nothing.
  const peer = track(
    new BinaryStar({
      role: "backup",
      peer: `${ends[0]}-3`,
      heartbeatInterval: HEARTBEAT,
      replica: {
        position: () => encodePosition({ map: NO_MAP, term: 0, sequence: 0, alone: false, ready: false }),
        compare: () => "older",
        mayTakeOver: () => false,
        resolved: () => undefined,
      },
    }),
  );
  await peer.bind(`${ends[1]}-3`);
  const serves = (): boolean => server.star?.state === "active" && server.star.stats().peer === "passive";
  await until(serves, "a pair", PATIENCE);
  expect(() => server.star?.handOver()).toThrow(/cannot hand over: the other one has not got the whole map/);
  expect([server.star?.state, server.stats().serving]).toEqual(["active", true]);
  await peer.close();
  const backup = await serverOf("backup", {});
  await until(() => server.stats().replicated, "the backup has the map", PATIENCE);
  await until(() => server.star?.stats().peer === "passive", "the backup stands by", PATIENCE);
  server.star?.handOver();
  await until(() => backup.stats().serving && !server.stats().serving, "the backup serves", PATIENCE);
});
