/** One node in each of two programs: messages go directly from one to the other. */
import { ClusterNode } from "shoal/cluster";
import { Bodies } from "../../../bodies.js";
import type { Side } from "../side.js";
import type { Role, Roles } from "./role.js";

const TOPIC = "bench/forward";
const GREETING = "bench/greeting";
/** Publishes after which the last one is awaited: it resolves at once unless the subscriber is behind. */
const AWAITED = 64;
/** Key of a run on this host only. */
const KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";

async function open(side: Side, seeds: string[]): Promise<ClusterNode> {
  const node = new ClusterNode({
    name: side.role,
    group: `bench-${process.ppid}`,
    multicast: false,
    registry: false,
    seeds,
    messaging: { protocols: ["tcp"] },
    ...(side.scenario === "cluster-forward-secure" && { key: KEY }),
  });
  await node.start();
  return node;
}

const consumer: Role = async (side) => {
  const node = await open(side, []);
  const checker = side.checker();
  const first = Math.max(1, side.warmup);
  const total = side.warmup + side.count;
  let seen = 0;
  const all = new Promise<void>((resolve) => {
    node.subscribe(TOPIC, ({ data }) => {
      checker.take(data);
      seen += 1;
      if (seen === first) side.begin();
      if (seen === total) resolve();
    });
  });
  node.subscribe(GREETING, () => undefined);
  await side.ready(node.address);
  await all;
  side.end();
  const { checksum, ordered } = checker;
  await side.done({ messages: side.count, bytes: side.count * side.size, checksum, ordered });
  await node.leave();
};

const producer: Role = async (side) => {
  const node = await open(side, [side.endpoint]);
  const bodies = new Bodies(side.size);
  // Subscriptions become known in order: this one shows that the other is known.
  while ((await node.publish(GREETING, "")) === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await side.ready();
  const options = { onFull: "wait", timeout: 60_000 } as const;
  const total = side.warmup + side.count;
  for (let k = 0; k < total; k++) {
    const published = node.publish(TOPIC, bodies.make(k), options);
    if (k % AWAITED === AWAITED - 1) await published;
  }
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await node.leave();
};

export const roles: Roles = { consumer, producer };
