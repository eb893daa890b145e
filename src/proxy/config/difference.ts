/**
 * Computes the changes that lead from the running proxies to a wanted configuration. Pure.
 *
 *   difference                            change
 *   endpoints of a socket                 bind, unbind, connect or disconnect, while the proxy runs
 *   policy of a side                      policy, while the proxy runs
 *   certificates of a socket              tls, while the proxy runs; later handshakes use the new ones
 *   anything else of a proxy              restart; its peers reconnect
 *   a new or a removed proxy              start or stop
 *
 * A replacement works before its predecessor goes, and removals come as late as possible. The order is therefore:
 *
 *   1  removals that free an endpoint for something new
 *   2  everything new
 *   3  restarts
 *   4  other removals
 *
 * A reload that fails half-way applies the difference back to the previous configuration.
 */

import { isDeepStrictEqual } from "node:util";
import { overlaps } from "../own-endpoints.js";
import {
  type Proxies,
  type ProxyConfiguration,
  type SocketConfiguration,
  type SocketName,
  socketsOf,
  type TlsConfiguration,
} from "./model.js";

interface Whole {
  readonly proxy: string;
  readonly configuration: ProxyConfiguration;
  /** Changed paths that require a restart. */
  readonly again?: readonly string[];
}

interface OfEndpoint {
  readonly proxy: string;
  readonly socket: SocketName;
  readonly endpoint: string;
}

export type Change =
  | ({ readonly do: "start" } & Whole)
  | ({ readonly do: "stop" } & Whole)
  | ({ readonly do: "bind" | "unbind" | "connect" | "disconnect" } & OfEndpoint)
  | {
      readonly do: "policy";
      readonly proxy: string;
      readonly socket: SocketName;
      readonly policy: SocketConfiguration["policy"];
    }
  | {
      readonly do: "tls";
      readonly proxy: string;
      readonly socket: SocketName;
      readonly tls: TlsConfiguration;
    };

type EndpointChange = Extract<Change, { readonly endpoint: string }>;

export function difference(running: Proxies, wanted: Proxies): readonly Change[] {
  const changes: Change[] = [];
  for (const [proxy, configuration] of Object.entries(running)) {
    const next = Object.hasOwn(wanted, proxy) ? wanted[proxy] : undefined;
    if (next === undefined) changes.push({ do: "stop", proxy, configuration });
    else changes.push(...within(proxy, configuration, next));
  }
  for (const [proxy, configuration] of Object.entries(wanted)) {
    if (!Object.hasOwn(running, proxy)) changes.push({ do: "start", proxy, configuration });
  }
  return inOrder(changes);
}

export function changed(running: Proxies, change: Change): Proxies {
  const { proxy } = change;
  const { [proxy]: before, ...others } = running;
  if (change.do === "stop") return others;
  if (change.do === "start") return { ...others, [proxy]: change.configuration };
  const socket = before?.[change.socket];
  if (before === undefined || socket === undefined) return running;
  return { ...others, [proxy]: { ...before, [change.socket]: socketAfter(socket, change) } };
}

function socketAfter(
  socket: SocketConfiguration,
  change: Exclude<Change, { readonly do: "start" | "stop" }>,
): SocketConfiguration {
  switch (change.do) {
    case "bind":
      return { ...socket, bind: [...socket.bind, change.endpoint] };
    case "connect":
      return { ...socket, connect: [...socket.connect, change.endpoint] };
    case "unbind":
      return { ...socket, bind: without(socket.bind, [change.endpoint]) };
    case "disconnect":
      return { ...socket, connect: without(socket.connect, [change.endpoint]) };
    case "policy": {
      const { policy: _, ...rest } = socket;
      return change.policy === undefined ? rest : { ...rest, policy: change.policy };
    }
    case "tls":
      return { ...socket, tls: change.tls };
  }
}

function within(proxy: string, before: ProxyConfiguration, after: ProxyConfiguration): readonly Change[] {
  const again = reasons(before, after);
  if (again.length > 0)
    return [
      { do: "stop", proxy, configuration: before, again },
      { do: "start", proxy, configuration: after, again },
    ];
  const changes: Change[] = [];
  for (const [socket, old] of socketsOf(before)) {
    const now = after[socket] as SocketConfiguration;
    const each = (what: EndpointChange["do"], endpoints: readonly string[]): void => {
      for (const endpoint of endpoints) changes.push({ do: what, proxy, socket, endpoint });
    };
    // Certificates precede the binds that need them.
    if (old.tls !== undefined && now.tls !== undefined && !isDeepStrictEqual(old.tls, now.tls))
      changes.push({ do: "tls", proxy, socket, tls: now.tls });
    each("unbind", without(old.bind, now.bind));
    each("disconnect", without(old.connect, now.connect));
    each("bind", without(now.bind, old.bind));
    each("connect", without(now.connect, old.connect));
    if (!isDeepStrictEqual(old.policy, now.policy))
      changes.push({ do: "policy", proxy, socket, policy: now.policy });
  }
  return changes;
}

/** Paths that cannot change while the proxy runs, such as `backend.linger`. */
function reasons(before: ProxyConfiguration, after: ProxyConfiguration): readonly string[] {
  const found: string[] = before.kind === after.kind ? [] : ["kind"];
  const names = new Set([...socketsOf(before), ...socketsOf(after)].map(([name]) => name));
  for (const name of names) {
    const [old, now] = [before[name], after[name]];
    if (old === undefined || now === undefined) {
      found.push(name);
      continue;
    }
    if ((old.tls === undefined) !== (now.tls === undefined)) found.push(`${name}.tls`);
    for (const option of new Set([...Object.keys(old.options), ...Object.keys(now.options)]))
      if (!isDeepStrictEqual(old.options[option], now.options[option])) found.push(`${name}.${option}`);
  }
  return found;
}

function without(list: readonly string[], taken: readonly string[]): readonly string[] {
  const rest = [...taken];
  return list.filter((item) => {
    const at = rest.indexOf(item);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

function inOrder(changes: readonly Change[]): readonly Change[] {
  const gives = changes.filter(isGiving);
  const takes = changes.filter((change) => !isGiving(change));
  const early = new Set(gives.filter((give) => takes.some((take) => isInTheWay(give, take))));
  const restarts = new Set(
    gives.filter((give) => give.do === "stop" && give.again !== undefined && !early.has(give)),
  );
  const late = (take: Change): boolean => {
    for (const { proxy } of restarts) if (take.do === "start" && take.proxy === proxy) return true;
    return false;
  };
  return [
    ...gives.filter((give) => early.has(give)),
    ...takes.filter((take) => !late(take)),
    ...[...restarts].flatMap((stop) => [
      stop,
      ...takes.filter((take) => late(take) && take.proxy === stop.proxy),
    ]),
    ...gives.filter((give) => !early.has(give) && !restarts.has(give)),
  ];
}

function isGiving({ do: what }: Change): boolean {
  return what === "stop" || what === "unbind" || what === "disconnect";
}

/** Whether a new part needs the endpoint that another change frees. A restarted proxy frees its own. */
function isInTheWay(give: Change, take: Change): boolean {
  const own = give.proxy === take.proxy;
  if (own && give.do === "stop") return false;
  const [old, wanted] = [endpointsOf(give), endpointsOf(take)];
  if (anyOverlap(old.bind, wanted.bind)) return true;
  return own && (anyOverlap(old.bind, wanted.connect) || anyOverlap(old.connect, wanted.bind));
}

function anyOverlap(some: readonly string[], others: readonly string[]): boolean {
  return some.some((one) => others.some((other) => overlaps(one, other)));
}

function endpointsOf(change: Change): {
  readonly bind: readonly string[];
  readonly connect: readonly string[];
} {
  switch (change.do) {
    case "policy":
    case "tls":
      return { bind: [], connect: [] };
    case "start":
    case "stop": {
      const sockets = socketsOf(change.configuration).map(([, socket]) => socket);
      return {
        bind: sockets.flatMap(({ bind }) => bind),
        connect: sockets.flatMap(({ connect }) => connect),
      };
    }
    case "bind":
    case "unbind":
      return { bind: [change.endpoint], connect: [] };
    default:
      return { bind: [], connect: [change.endpoint] };
  }
}
