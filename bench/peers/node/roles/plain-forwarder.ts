/** What the last value cache is compared with: the library's proxy of an XSUB and an XPUB, which keeps nothing. */
import { backendOf, caseOptions } from "./case-options.js";
import { feed, reader } from "./feed.js";
import type { Role, Roles } from "./role.js";

const forwarder: Role = async (side, kit) => {
  const frontend = new kit.XSubscriber(caseOptions(side, "in"));
  const backend = new kit.XPublisher(caseOptions(side, "out"));
  await frontend.bind(side.endpoint);
  await backend.bind(backendOf(side.endpoint));
  const endpoints = [frontend.lastEndpoint, backend.lastEndpoint] as const;
  const proxy = new kit.Proxy(frontend, backend);
  const running = proxy.run();
  await side.ready(...endpoints);
  await side.stopped;
  await side.done({ messages: side.count, bytes: side.count * side.size });
  proxy.terminate();
  await running;
};

export const roles: Roles = { forwarder, feed, reader };
