/** Many simultaneous connections, and the cost of idle ones. */
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Bodies, type Checker } from "../../../bodies.js";
import type { Kit } from "../kit.js";
import type { Outcome, Side } from "../side.js";
import { caseOptions } from "./case-options.js";
import { roles as echo } from "./echo.js";
import type { Role, Roles } from "./role.js";

type Dealer = InstanceType<Kit["Dealer"]>;

/**
 * Connections before the counted ones, opened at once and closed, since no implementation has room for all as
 * sockets.
 */
const WARM_AT_ONCE = 250;
/** ms after which the server, and libzmq's reaper thread, have closed these. */
const SETTLED_AFTER = 200;

/** Resident memory after a collection, since garbage does not belong to connections. */
function resident(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  return process.memoryUsage.rss();
}

function memoryOf(connections: number, before: number, size: number): Outcome {
  const rssAfter = resident();
  const bytesPerConnection = (rssAfter - before) / connections;
  return {
    messages: connections,
    bytes: connections * size,
    extra: { rssBefore: before, rssAfter, bytesPerConnection },
  };
}

/** Opens connections first … first + count - 1, each with a message and its reply. */
async function connectMany(
  side: Side,
  kit: Kit,
  bodies: Bodies,
  first: number,
  count: number,
  checker: Checker,
): Promise<Dealer[]> {
  const dealers = Array.from({ length: count }, () => new kit.Dealer(caseOptions(side, "both")));
  const replies = dealers.map(async (dealer, i) => {
    dealer.connect(side.endpoint);
    await dealer.send(bodies.make(first + i));
    return dealer.receive();
  });
  for (const [reply] of await Promise.all(replies)) checker.take(reply as Buffer);
  return dealers;
}

const storm: Role = async (side, kit) => {
  const checker = side.checker();
  const bodies = new Bodies(side.size || 16);
  await side.ready();
  for (let first = 0; first < side.warmup; first += WARM_AT_ONCE) {
    const count = Math.min(WARM_AT_ONCE, side.warmup - first);
    const early = await connectMany(side, kit, bodies, first, count, checker);
    await Promise.all(early.map((dealer) => dealer.close()));
  }
  if (side.warmup > WARM_AT_ONCE) await setTimeout(SETTLED_AFTER);
  side.begin();
  const dealers = await connectMany(side, kit, bodies, side.warmup, side.count, checker);
  side.end();
  const { checksum, ordered } = checker;
  await side.done({ messages: side.count, bytes: side.count * side.size, checksum, ordered });
  await Promise.all(dealers.map((dealer) => dealer.close()));
};

const idleClient: Role = async (side, kit) => {
  const connections = side.number("connections", 1);
  const bodies = new Bodies(side.size || 16);
  const before = resident();
  const dealers = await connectMany(side, kit, bodies, 0, connections, side.checker());
  await side.ready();
  await side.done(memoryOf(connections, before, side.size));
  await Promise.all(dealers.map((dealer) => dealer.close()));
};

/** Serves from the start, since clients greet before they are ready; measures once all are. */
const idleServer: Role = async (side, kit) => {
  const router = new kit.Router(caseOptions(side, "both"));
  await router.bind(side.endpoint);
  const serving = (async () => {
    for await (const frames of router) await router.send(frames as [Buffer, ...Buffer[]]);
  })();
  const before = resident();
  await side.ready(router.lastEndpoint);
  await side.done(memoryOf(side.number("connections", 1), before, side.size));
  await router.close();
  await serving;
};

const pick =
  (idle: Role, otherwise: Role): Role =>
  (side, kit) =>
    side.scenario === "idle-memory" ? idle(side, kit) : otherwise(side, kit);

export const roles: Roles = {
  server: pick(idleServer, echo.server as Role),
  client: pick(idleClient, storm),
};
