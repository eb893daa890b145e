/** A server that returns messages, and clients that send requests in turn or on schedule. */
import { performance } from "node:perf_hooks";
import { Bodies } from "../../../bodies.js";
import { Latencies } from "../histogram.js";
import type { Kit } from "../kit.js";
import { Receiving } from "../receiving.js";
import type { Side } from "../side.js";
import { askInTurn, type RoundTrip } from "./asking.js";
import { caseOptions } from "./case-options.js";
import type { Role, Roles } from "./role.js";

type Client = InstanceType<Kit["Request"]> | InstanceType<Kit["Dealer"]>;
type Server = InstanceType<Kit["Reply"]> | InstanceType<Kit["Router"]>;

/** REQ and REP if the case requires them; otherwise DEALER and ROUTER. */
const isStrict = (side: Side) => side.option("pattern", "dealer-router") === "req-rep";

const serverOf = (side: Side, kit: Kit): Server =>
  isStrict(side) ? new kit.Reply(caseOptions(side, "both")) : new kit.Router(caseOptions(side, "both"));

const clientOf = (side: Side, kit: Kit): Client =>
  isStrict(side) ? new kit.Request(caseOptions(side, "both")) : new kit.Dealer(caseOptions(side, "both"));

/** Echoes whole messages, including address frames, until the socket closes. */
async function echo(socket: Server, onMessage: () => void): Promise<void> {
  const reply = socket as InstanceType<Kit["Reply"]>; // The types of a ROUTER require two frames.
  for await (const frames of reply) {
    await reply.send(frames);
    onMessage();
  }
}

const roundTrip =
  (client: Client): RoundTrip =>
  async (body) => {
    await client.send(body);
    const [reply] = await client.receive();
    return reply as Buffer;
  };

const server: Role = async (side, kit) => {
  const socket = serverOf(side, kit);
  await socket.bind(side.endpoint);
  let echoed = 0;
  const serving = echo(socket, () => echoed++);
  await side.ready(socket.lastEndpoint);
  await side.stopped;
  await side.done({ messages: echoed, bytes: echoed * side.size });
  await socket.close();
  await serving;
};

const inTurn: Role = async (side, kit) => {
  const clients = Array.from({ length: side.number("sockets", 1) }, () => clientOf(side, kit));
  for (const client of clients) client.connect(side.endpoint);
  await askInTurn(side, clients.map(roundTrip));
  await Promise.all(clients.map((client) => client.close()));
};

const both: Role = async (side, kit) => {
  const server = serverOf(side, kit);
  const client = clientOf(side, kit);
  await server.bind(side.endpoint);
  client.connect(side.endpoint);
  const serving = echo(server, () => undefined);
  await askInTurn(side, [roundTrip(client)]);
  await client.close();
  await server.close();
  await serving;
};

/**
 * Open loop: request k is due at k / rate, whatever happened to earlier ones, and its latency counts from then. So a
 * stall affects every request that it delayed (no coordinated omission). The loop spins between requests, since a
 * timer has a resolution of 1 ms.
 */
const onSchedule: Role = async (side, kit) => {
  const dealer = new kit.Dealer(caseOptions(side, "both"));
  dealer.connect(side.endpoint);
  const bodies = new Bodies(side.size);
  const { receiving, stream } = Receiving.one(side);
  const latencies = new Latencies(side.count);
  const total = side.warmup + side.count;
  const interval = 1e3 / side.number("rate", 1000);
  await side.ready();
  await dealer.send(bodies.make(0)); // The first waits for the connection, before the schedule begins.
  const [hello] = await dealer.receive();
  stream.take(hello as Buffer);
  const from = performance.now();
  const send = async () => {
    for (let k = 1; k < total; k++) {
      await turnsUntil(from + (k - 1) * interval);
      await dealer.send(bodies.make(k));
    }
  };
  const receive = async () => {
    for (let k = 1; k < total; k++) {
      const [reply] = await dealer.receive();
      const late = performance.now() - (from + (k - 1) * interval);
      latencies.record(late * 1e6);
      stream.take(reply as Buffer);
    }
  };
  await Promise.all([send(), receive()]);
  await side.done({ ...receiving.outcome(), latency: latencies.table });
  await dealer.close();
};

/** Turns of the event loop. A promise per turn would keep the collector busy, whose stalls would be measured as latency. */
const turnsUntil = (moment: number): Promise<void> =>
  new Promise((resolve) => {
    const look = () => void (performance.now() < moment ? setImmediate(look) : resolve());
    look();
  });

const client: Role = (side, kit) =>
  side.scenario === "latency-under-load" ? onSchedule(side, kit) : inTurn(side, kit);

export const roles: Roles = { server, client, both };
