/** The same over real connections, against sockets of each type: they go on, and their good peers are served. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { curveKeyPair, type Socket } from "../../../src/index.js";
import { until } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { command, frame, greeting, RawPeer, ready } from "../../contract/support/zmtp-peer.js";
import { corpus, Random, runs, SEED, told } from "../seed.js";

const world = new World("zmtp", "tcp");
/** Connections at a time. */
const BATCH = 50;

const uncaught: unknown[] = [];
const note = (error: unknown): void => void uncaught.push(error);
beforeAll(() => void process.on("uncaughtExceptionMonitor", note));
afterAll(() => void process.off("uncaughtExceptionMonitor", note));

const authenticate = (): boolean => true;
const plain = { plainServer: true, authenticate };
const curve = { curveServer: true, curveSecretKey: curveKeyPair().secretKey, authenticate };

/** Sockets under attack, the type that their peers say they are, and the mechanism in their greeting. */
const TARGETS: [string, string, string, () => Socket & { bind(endpoint: string): Promise<string> }][] = [
  ["Pull", "PUSH", "NULL", () => world.pull()],
  ["Router", "DEALER", "NULL", () => world.router({ mandatory: true })],
  ["Reply", "REQ", "NULL", () => world.reply()],
  ["Request", "REP", "NULL", () => world.request()],
  ["Dealer", "ROUTER", "NULL", () => world.dealer()],
  ["Pair", "PAIR", "NULL", () => world.pair()],
  ["Publisher", "SUB", "NULL", () => world.publisher()],
  ["XPublisher", "SUB", "NULL", () => world.xPublisher()],
  ["XSubscriber", "PUB", "NULL", () => world.xSubscriber()],
  ["Stream", "", "NULL", () => world.stream()],
  ["Pull with PLAIN", "PUSH", "PLAIN", () => world.pull(plain)],
  ["Pull with CURVE", "PUSH", "CURVE", () => world.pull(curve)],
];

function script(random: Random, type: string, mechanism: string): Buffer {
  const hello =
    mechanism === "PLAIN" ? command("HELLO", "\u0001u\u0001p") : command("HELLO", Buffer.alloc(194));
  const own = mechanism === "NULL" ? [] : [hello, command("INITIATE")];
  const start = [greeting(mechanism), ...own, ready(type)];
  const traffic: Buffer[] = [];
  for (let n = random.below(20); n > 0; n--) {
    const how = random.below(6);
    if (how === 0)
      traffic.push(command("PING", Buffer.concat([random.bytes(2), random.bytes(random.below(20))])));
    else if (how === 1)
      traffic.push(command(random.below(2) === 0 ? "SUBSCRIBE" : "CANCEL", random.bytes(random.below(4))));
    else if (how === 2) traffic.push(Buffer.of(1, 0), frame("body"));
    else if (how === 3) traffic.push(Buffer.of(1, 3), random.bytes(3));
    else traffic.push(frame(random.bytes(random.below(40)).toString("latin1")));
  }
  // The greeting and READY are spared mostly, so that what follows is reached.
  if (random.below(4) === 0) return random.mutate(Buffer.concat([...start, ...traffic]));
  const rest = Buffer.concat(traffic);
  return Buffer.concat([...start, random.below(3) === 0 ? rest : random.mutate(rest)]);
}

/** Reads whatever is there, so that nobody is held back. */
function drain(socket: Socket): void {
  const readable = socket as unknown as {
    receive?(): Promise<unknown>;
    send?(message: unknown): Promise<unknown>;
  };
  if (readable.receive === undefined) return;
  const replies = socket.constructor.name === "Reply";
  const asks = socket.constructor.name === "Request";
  (async () => {
    for (;;) {
      if (asks) await readable.send?.("question");
      const message = await readable.receive?.();
      if (replies) await readable.send?.(message);
    }
  })().catch(() => undefined); // Closed.
}

it.each(TARGETS)(
  "%s outlives peers that send anything",
  async (name, type, mechanism, open) => {
    const random = new Random(SEED);
    const socket = open();
    await socket.bind("tcp://127.0.0.1:*");
    const endpoint = socket.lastEndpoint as string;
    drain(socket);
    const inputs = corpus("handshake").map(([, bytes]) => bytes);
    const count = runs(25, 1_500);
    while (inputs.length < count) inputs.push(script(random, type, mechanism));
    for (let at = 0; at < count; at += BATCH) {
      await Promise.all(
        inputs.slice(at, at + BATCH).map(async (bytes) => {
          const peer = await RawPeer.connect(endpoint);
          // In two pieces, the second when the first has been answered or refused.
          const cut = random.below(bytes.length + 1);
          peer.write(bytes.subarray(0, cut));
          if (type !== "") await peer.heard(1); // A STREAM says nothing by itself.
          peer.write(bytes.subarray(cut));
          if (random.below(2) === 0) peer.socket.end();
          else peer.socket.resetAndDestroy();
          peer.socket.setTimeout(2_000, () => peer.destroy());
          await peer.closed;
        }),
      );
    }
    await until(() => socket.stats().peers === 0, `${name} without peers`);
    expect(uncaught).toEqual([]);
    const { sent, delivered, queued, dropped } = socket.stats();
    const lost = Object.values(dropped).reduce((sum, count) => sum + count, 0);
    expect(delivered + queued + lost).toBe(sent);

    // A good peer comes and is a peer.
    if (mechanism !== "NULL") return;
    const good = await RawPeer.connect(endpoint);
    if (type === "") good.write(Buffer.from("hello"));
    else await good.handshake(type);
    await until(() => socket.stats().peers === 1, `${name} with a good peer`);
    good.destroy();
    told(`connections to ${name}`, count);
  },
  runs(8_000, 120_000),
);
