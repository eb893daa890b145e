import { describe, expect, it } from "vitest";
import { CURVE_SERVER } from "../../contract/support/keys.js";
import { collect, nextEvent, until, within } from "../../contract/support/wait.js";
import { command, frame, greeting } from "../../contract/support/zmtp-peer.js";
import { start } from "../../process/child.js";
import { LONG } from "../../support/long.js";
import { portOf } from "../../support/ports.js";
import { events, HostileWorld, memory } from "./support/hostile-world.js";
import { RawServer } from "./support/raw-server.js";

const world = new HostileWorld();

describe("a handshake out of order", () => {
  const authenticate = (): boolean => true;
  const servers = {
    NULL: {},
    PLAIN: { plainServer: true, authenticate },
    CURVE: { ...CURVE_SERVER, authenticate },
  };
  const HELLO = command("HELLO", "\u0001u\u0001p");
  const cases: [keyof typeof servers, string, Buffer][] = [
    ["NULL", "a message first", frame("too early")],
    ["PLAIN", "HELLO twice", Buffer.concat([HELLO, HELLO])],
    ["CURVE", "INITIATE before HELLO", command("INITIATE", Buffer.alloc(300))],
  ];
  it.each(
    cases,
  )("(%s) %s ends that connection and is reported; nobody else's", async (mechanism, _, bytes) => {
    const server = world.pull(servers[mechanism]);
    const endpoint = await world.bind(server);
    const peer = await world.raw(endpoint);
    const failed = nextEvent(server, "handshake:error:protocol");
    const left = nextEvent(server, "disconnect");
    peer.write(greeting(mechanism));
    await peer.heard(64);
    peer.write(bytes);
    const { error, address } = await failed;
    expect([error.name, address]).toEqual(["ProtocolError", endpoint]);
    expect(error.message).toContain(endpoint);
    expect((await left).reason).toBe("protocol");
    await within(peer.closed, "the connection's end");
    expect(server.stats()).toMatchObject({ peers: 0, received: 0, receiveQueued: 0 });
  });

  it("a server that answers with a message is reported, and tried again", async () => {
    const server = new RawServer((socket) => {
      socket.write(greeting());
      socket.once("data", () => socket.write(frame("too early")));
    });
    const pull = world.pull({ reconnectInterval: 5 });
    const failed = nextEvent(pull, "handshake:error:protocol");
    pull.connect(await server.listen(world));
    expect((await failed).error.code).toMatch(/^ERR_ZMTP_/);
    await until(() => server.connections.length >= 2, "another attempt");
  });
});

it("thousands of connections that stop in their handshake keep nobody out, neither who is there nor who comes", async () => {
  const pull = world.pull({ backlog: 1_024, maxPendingHandshakes: KEPT });
  const { endpoint, works } = await world.good(pull);
  const seen = events(pull);
  const before = memory();
  // They are opened by another process, so that each side has its own descriptors.
  const child = start(STOPPERS, { args: [String(portOf(endpoint)), String(STOPPED)], limit: 25_000 });
  let report = "";
  const told = child
    .line()
    .then(String, String)
    .then((line) => {
      report = line;
    });
  while (report === "") {
    await works();
    const late = world.connect(world.push(), endpoint);
    await late.send("late");
    expect(await collect(pull, 1)).toEqual(["late"]);
    await late.close({ linger: 0 });
    await new Promise((resolve) => setImmediate(resolve));
  }
  await told;
  expect(JSON.parse(report).opened).toBe(STOPPED);
  await works();
  const gaveWay = (): number => seen.filter(({ type }) => type === "handshake:error:other").length;
  await until(() => gaveWay() >= STOPPED - KEPT, "the oldest giving way");
  expect((memory() - before) / KEPT).toBeLessThan(32_768);
  await child.kill();
  await until(() => pull.stats().peers === 1, "the good peer alone");
  await works();
}, 30_000);

const STOPPED = LONG ? 10_000 : 2_500;
/** 4,096 is the default. */
const KEPT = LONG ? 4_096 : 1_024;

/** Opens so many connections, sends a greeting on each, and stops. */
const STOPPERS = `
  import { connect } from "node:net";
  const [port, count] = process.argv.slice(1).map(Number);
  const greeting = Buffer.from("${greeting().toString("hex")}", "hex");
  let opened = 0;
  const open = () => new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => { opened += 1; socket.write(greeting.subarray(0, 20 + opened % 45)); resolve(); });
    socket.on("error", resolve);
    socket.resume();
  });
  for (let i = 0; i < count; i += 100) await Promise.all(Array.from({ length: 100 }, open));
  console.log(JSON.stringify({ opened }));
  setInterval(() => undefined, 1_000);
`;
