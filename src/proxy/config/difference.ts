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
 * Removals come before additions, which may need their endpoints. Certificates come first: binds may need them.
 *
 * A reload that fails half-way applies the difference back to the previous configuration.
 */

import { isDeepStrictEqual } from "node:util";
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

const ORDER: readonly (readonly Change["do"][])[] = [
  ["tls", "policy"],
  ["unbind", "disconnect", "stop"],
  ["start", "bind", "connect"],
];

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
  return ORDER.flatMap((kinds) => changes.filter((change) => kinds.includes(change.do)));
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
