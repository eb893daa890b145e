/** Shoal's proxies and the roles around them, which all connect to the proxy. */
import { setTimeout } from "node:timers/promises";
import { ForwarderProxy, QueueProxy, StreamerProxy } from "shoal/proxy";
import { Bodies } from "../../../bodies.js";
import type { Side } from "../side.js";
import { backendOf, caseOptions } from "./case-options.js";
import { roles as broker } from "./plain-broker.js";
import { subscribers } from "./pub-sub.js";
import { COPIED, isLarge, roles as stream } from "./push-pull.js";
import type { Role, Roles } from "./role.js";

function proxyOf(side: Side) {
  const kind = side.option("kind", "");
  const frontend = { bind: side.endpoint };
  const backend = { bind: backendOf(side.endpoint) };
  if (kind === "streamer") return new StreamerProxy({ frontend, backend });
  if (kind.startsWith("forwarder")) {
    return new ForwarderProxy({
      frontend,
      backend: { ...caseOptions(side, "both"), ...backend, noDrop: true },
    });
  }
  const options = caseOptions(side, "both");
  return new QueueProxy({ frontend: { ...options, ...frontend }, backend: { ...options, ...backend } });
}

const proxy: Role = async (side) => {
  const running = proxyOf(side);
  await running.start();
  const { frontend, backend } = running.endpoints;
  await side.ready(frontend[0] as string, backend[0] as string);
  await side.stopped;
  await side.done({ messages: 0, bytes: 0 });
  await running.close();
};

/**
 * The proxy forwards the subscriptions as one: it has arrived, and the others, sent before the start, follow soon.
 */
const publisher: Role = async (side, kit) => {
  const socket = new kit.XPublisher({ noDrop: true });
  socket.connect(side.endpoint);
  await side.ready();
  await socket.receive();
  await setTimeout(100);
  const bodies = new Bodies(side.size);
  const copies = kit.batch && isLarge(side);
  for (let k = 0; k < side.warmup + side.count; k++) {
    if (k === side.warmup) side.begin();
    const body = copies ? bodies.lend(k) : bodies.make(k);
    if (copies) {
      if (!socket.trySend(body, COPIED)) await socket.send(body, COPIED);
    } else if (!(kit.batch && socket.trySend(body))) await socket.send(body);
  }
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await socket.close();
};

export const roles: Roles = {
  proxy,
  consumer: stream.consumer as Role,
  producer: stream.producer as Role,
  publisher,
  subscriber: (side, kit) => subscribers(side, kit, async (socket) => void (await socket.ready())),
  worker: broker.worker as Role,
  client: broker.client as Role,
};
