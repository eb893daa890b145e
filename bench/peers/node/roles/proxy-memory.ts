/** A proxy between a producer that keeps sending and a consumer that reads nothing. */
import { StreamerProxy } from "shoal/proxy";
import { Bodies } from "../../../bodies.js";
import { caseOptions, growthSince } from "./case-options.js";
import { backendOf } from "./proxy.js";
import type { Role, Roles } from "./role.js";

const proxy: Role = async (side) => {
  const running = new StreamerProxy({
    frontend: { ...caseOptions(side, "in"), bind: side.endpoint },
    backend: { ...caseOptions(side, "out"), bind: backendOf(side.endpoint) },
  });
  await running.start();
  const { frontend, backend } = running.endpoints;
  await side.ready(frontend[0] as string, backend[0] as string);
  const rss = process.memoryUsage.rss();
  await side.stopped;
  await side.done({ messages: 0, bytes: 0, extra: growthSince(rss) });
  await running.close({ linger: 0 });
};

const stalled: Role = async (side, kit) => {
  const pull = new kit.Pull(caseOptions(side, "in"));
  pull.connect(side.endpoint);
  await side.ready();
  await side.stopped;
  await side.done({ messages: 0, bytes: 0 });
  await pull.close();
};

/** Sends until there was no room for a while. */
const flood: Role = async (side, kit) => {
  const push = new kit.Push({
    ...caseOptions(side, "out"),
    sendTimeout: side.number("patience", 1_000),
    linger: 0,
  });
  push.connect(side.endpoint);
  await side.ready();
  const bodies = new Bodies(side.size);
  let sent = 0;
  try {
    for (;;) {
      await push.send(bodies.makeOwn(sent));
      sent++;
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EAGAIN" && code !== "ETIMEDOUT") throw error;
  }
  await side.done({ messages: sent, bytes: sent * side.size });
  await push.close();
};

export const roles: Roles = { proxy, stalled, flood };
