/**
 * Every socket type against pyzmq, both ways: over tcp and ipc, whoever binds,
 * whoever is there first.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import * as shoal from "../../src/index.js";
import { Digest, digestOf, message } from "./messages.js";
import { NO_PYTHON, PythonPeer, type PythonSocket } from "./python-peer.js";

const COUNT = 300;
const LIMIT = 15_000;
/** Messages on their way between two that answer each other. */
const WINDOW = 50;

/** What all the socket classes of these tests can do, whichever of it a type has. */
type AnySocket = shoal.Socket & shoal.Readable<Buffer[]> & shoal.Writable<(string | Buffer)[]>;

const CLASSES = {
  PUSH: shoal.Push,
  PULL: shoal.Pull,
  PUB: shoal.Publisher,
  SUB: shoal.Subscriber,
  XPUB: shoal.XPublisher,
  XSUB: shoal.XSubscriber,
  REQ: shoal.Request,
  REP: shoal.Reply,
  DEALER: shoal.Dealer,
  ROUTER: shoal.Router,
  PAIR: shoal.Pair,
  STREAM: shoal.Stream,
} as const;
type TypeName = keyof typeof CLASSES;

const PAIRS: readonly (readonly [ours: TypeName, theirs: TypeName])[] = [
  ["PUSH", "PULL"],
  ["PULL", "PUSH"],
  ["PUB", "SUB"],
  ["SUB", "PUB"],
  ["PUB", "XSUB"],
  ["XSUB", "PUB"],
  ["XPUB", "SUB"],
  ["SUB", "XPUB"],
  ["XPUB", "XSUB"],
  ["XSUB", "XPUB"],
  ["REQ", "REP"],
  ["REP", "REQ"],
  ["REQ", "ROUTER"],
  ["ROUTER", "REQ"],
  ["DEALER", "REP"],
  ["REP", "DEALER"],
  ["DEALER", "DEALER"],
  ["DEALER", "ROUTER"],
  ["ROUTER", "DEALER"],
  ["ROUTER", "ROUTER"],
  ["PAIR", "PAIR"],
  ["STREAM", "STREAM"],
];

let peer: PythonPeer;
let folder: string;
let ours: AnySocket | undefined;
let theirs: PythonSocket | undefined;
let endpoints = 0;

function open(type: TypeName): AnySocket {
  const common = { reconnectInterval: 20, receiveTimeout: LIMIT, linger: 0 };
  const options = {
    ...common,
    ...(type === "PUB" || type === "PUSH" ? { receiveTimeout: undefined } : {}),
    ...(type === "ROUTER" ? { mandatory: true } : {}),
    ...(type === "ROUTER" || type === "DEALER" ? { routingId: "ours" } : {}),
  };
  return new CLASSES[type](options as object) as unknown as AnySocket;
}

function openTheirs(type: TypeName): Promise<PythonSocket> {
  return peer.open(type, {
    ...(type === "ROUTER" ? { ROUTER_MANDATORY: 1 } : {}),
    ...(type === "ROUTER" || type === "DEALER" ? { ROUTING_ID: "theirs" } : {}),
  });
}

/** An endpoint that a connecting side can know before anybody binds it. */
async function freeEndpoint(transport: "tcp" | "ipc"): Promise<string> {
  if (transport === "ipc") return `ipc://${join(folder, `s${++endpoints}`)}`;
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return `tcp://127.0.0.1:${port}`;
}

/** Tries until it works: a mandatory router may not know its peer yet. */
async function sendToKnown(socket: AnySocket, frames: (string | Buffer)[]): Promise<void> {
  const deadline = performance.now() + LIMIT;
  for (;;) {
    try {
      return await socket.send(frames);
    } catch (error) {
      if ((error as shoal.ShoalError).code !== "EHOSTUNREACH" || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

async function receiveAll(socket: AnySocket, seed: number): Promise<void> {
  const digest = new Digest();
  for (let count = 0; count < COUNT; ) {
    const frames = await socket.receive();
    if (frames.length === 1 && String(frames[0]) === "sync") continue;
    digest.add(frames);
    count += 1;
  }
  expect(digest.done()).toBe(digestOf(COUNT, seed));
}

async function weSend(socket: AnySocket, python: PythonSocket, seed: number): Promise<void> {
  const received = python.call("receive", { count: COUNT });
  for (let number = 0; number < COUNT; number++) await socket.send(message(number, seed));
  expect(await received).toEqual({ digest: digestOf(COUNT, seed) });
}

async function theySend(socket: AnySocket, python: PythonSocket, seed: number): Promise<void> {
  const sent = python.call("send", { count: COUNT, seed });
  await receiveAll(socket, seed);
  expect(await sent).toEqual({ digest: digestOf(COUNT, seed) });
}

/** We ask, they echo. `strip`: the frames in front of a message as they see it. */
async function weAsk(
  socket: AnySocket,
  python: PythonSocket,
  prefix: string[],
  strip: number,
  window: number,
): Promise<void> {
  const seed = 3;
  const echoed = python.call("echo", { count: COUNT, strip });
  const digest = new Digest();
  let sent = 0;
  for (let number = 0; number < COUNT; number++) {
    for (; sent < COUNT && sent - number < window; sent++)
      await sendToKnown(socket, [...prefix, ...message(sent, seed)]);
    const frames = await socket.receive();
    expect(frames.slice(0, prefix.length).map(String)).toEqual(prefix);
    digest.add(frames.slice(prefix.length));
  }
  expect(digest.done()).toBe(digestOf(COUNT, seed));
  expect(await echoed).toEqual({ digest: digestOf(COUNT, seed) });
}

/** They ask, we echo. */
async function theyAsk(
  socket: AnySocket,
  python: PythonSocket,
  prefix: string[],
  strip: number,
  window: number,
): Promise<void> {
  const seed = 4;
  const encoded = prefix.map((frame) => Buffer.from(frame).toString("base64"));
  const asked = python.call("ask", { count: COUNT, seed, window, prefix: encoded });
  const digest = new Digest();
  for (let number = 0; number < COUNT; number++) {
    const frames = await socket.receive();
    digest.add(frames.slice(strip));
    await socket.send(frames);
  }
  expect(digest.done()).toBe(digestOf(COUNT, seed));
  expect(await asked).toEqual({ digest: digestOf(COUNT, seed) });
}

/** Raw bytes both ways; each side learns its peer's name from the notice of its coming. */
async function stream(socket: AnySocket, python: PythonSocket): Promise<void> {
  const [id, notice] = await socket.receive();
  expect(notice).toHaveLength(0);
  const [theirId] = await python.receive();
  const size = Array.from({ length: COUNT }, (_, number) =>
    Math.max(1, Buffer.concat(message(number, 5)).length),
  ).reduce((sum, length) => sum + length);

  const sent = python.call("stream_send", {
    count: COUNT,
    seed: 5,
    peer: (theirId as Buffer).toString("base64"),
  });
  const pieces: Buffer[] = [];
  for (let got = 0; got < size; ) {
    const [from, piece] = (await socket.receive()) as [Buffer, Buffer];
    expect(from).toEqual(id);
    pieces.push(piece);
    got += piece.length;
  }
  const expected = Buffer.concat(
    Array.from({ length: COUNT }, (_, number) => {
      const bytes = Buffer.concat(message(number, 5));
      return bytes.length === 0 ? Buffer.from("-") : bytes;
    }),
  );
  expect(Buffer.concat(pieces).equals(expected)).toBe(true);
  const { digest } = await sent;

  const received = python.call("stream_receive", { bytes: size });
  for (let at = 0; at < size; at += 30_000)
    await socket.send([id as Buffer, expected.subarray(at, at + 30_000)]);
  expect(await received).toEqual({ digest, bytes: size });
}

/** Subscribes on one side, and waits until the publishing side knows. */
async function subscribed(socket: AnySocket, python: PythonSocket, our: TypeName, their: TypeName) {
  if (our === "XSUB") await socket.send([Buffer.from([1])]);
  if (their === "XSUB") await python.send(Buffer.from([1]));
  // A bound subscriber of libzmq asks for its topics in its own thread: it has to be at it.
  const attending = their.endsWith("SUB") ? python.call("attend") : undefined;
  if (our === "PUB") await (socket as unknown as shoal.Publisher).waitForSubscribers({ timeout: LIMIT });
  if (our === "XPUB") expect(await socket.receive()).toEqual([Buffer.from([1])]);
  if (their === "XPUB") expect(await python.receive()).toEqual([Buffer.from([1])]);
  const syncing = their === "PUB" ? python.call("sync") : undefined;
  if (their === "PUB") expect((await socket.receive()).map(String)).toEqual(["sync"]);
  await Promise.all([attending, syncing, python.call("pause")]);
}

async function converse(socket: AnySocket, python: PythonSocket, our: TypeName, their: TypeName) {
  switch (`${our}-${their}`) {
    case "PUSH-PULL":
      return weSend(socket, python, 1);
    case "PULL-PUSH":
      return theySend(socket, python, 2);
    case "PUB-SUB":
    case "PUB-XSUB":
    case "XPUB-SUB":
    case "XPUB-XSUB":
      return weSend(socket, python, 1);
    case "SUB-PUB":
    case "SUB-XPUB":
    case "XSUB-PUB":
    case "XSUB-XPUB":
      return theySend(socket, python, 2);
    case "REQ-REP":
      return weAsk(socket, python, [], 0, 1);
    case "REP-REQ":
      return theyAsk(socket, python, [], 0, 1);
    case "REQ-ROUTER":
      return weAsk(socket, python, [], 2, 1);
    case "ROUTER-REQ":
      return theyAsk(socket, python, [], 2, 1);
    case "DEALER-REP":
      return weAsk(socket, python, [""], 0, WINDOW);
    case "REP-DEALER":
      return theyAsk(socket, python, [""], 0, WINDOW);
    case "DEALER-DEALER":
    case "PAIR-PAIR":
      await weAsk(socket, python, [], 0, WINDOW);
      return theyAsk(socket, python, [], 0, WINDOW);
    case "DEALER-ROUTER":
      await weAsk(socket, python, [], 1, WINDOW);
      return theyAsk(socket, python, ["ours"], 0, WINDOW);
    case "ROUTER-DEALER":
      await weAsk(socket, python, ["theirs"], 0, WINDOW);
      return theyAsk(socket, python, [], 1, WINDOW);
    case "ROUTER-ROUTER":
      await weAsk(socket, python, ["theirs"], 1, WINDOW);
      return theyAsk(socket, python, ["ours"], 1, WINDOW);
    case "STREAM-STREAM":
      return stream(socket, python);
    default:
      throw new Error(`no conversation for ${our}-${their}`);
  }
}

describe.skipIf(NO_PYTHON)("against pyzmq", () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "shoal-interop-"));
    peer = await PythonPeer.start();
  });

  afterEach(async () => {
    await ours?.close({ linger: 0 });
    await theirs?.call("close");
    ours = undefined;
    theirs = undefined;
  });

  afterAll(async () => {
    await peer?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  for (const [our, their] of PAIRS) {
    for (const transport of our === "STREAM" ? (["tcp"] as const) : (["tcp", "ipc"] as const)) {
      for (const binder of ["ours", "theirs"] as const) {
        for (const first of ["ours", "theirs"] as const) {
          const how = `${binder === "ours" ? "bound" : "connected"}, ${first === "ours" ? "first" : "second"}`;
          it(`our ${our} (${how}) and their ${their} exchange everything in order over ${transport}`, async () => {
            const endpoint = await freeEndpoint(transport);
            const begin = {
              ours: async () => {
                ours = open(our);
                if (our === "SUB") (ours as unknown as shoal.Subscriber).subscribe();
                if (binder === "ours") await ours.bind(endpoint);
                else ours.connect(endpoint);
              },
              theirs: async () => {
                theirs = await openTheirs(their);
                if (their === "SUB") await theirs.call("subscribe");
                await theirs.call(binder === "theirs" ? "bind" : "connect", { endpoint });
              },
            };
            await begin[first]();
            await begin[first === "ours" ? "theirs" : "ours"]();
            if (/X?(PUB|SUB)/.test(our))
              await subscribed(ours as AnySocket, theirs as PythonSocket, our, their);
            await converse(ours as AnySocket, theirs as PythonSocket, our, their);
          });
        }
      }
    }
  }
});
