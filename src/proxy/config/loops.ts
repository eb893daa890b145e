/**
 * Ways that lead round through several proxies of one file. Pure.
 *
 * News and work carry no trace of their way: two forwarders or streamers that lead into each other pass a message for
 * ever. Where both are in one file that can be seen before anything is opened. Requests and their replies, and pairs
 * that pass both ways, have a way back that is no loop: a round is one that only goes forth.
 */
import { directionsOf, type ProxySideName, type ProxySocketType } from "../pairs.js";
import type { Proxies, ProxyConfiguration, SocketConfiguration } from "./model.js";
import { leadsTo } from "./overlap.js";
import type { Finding, Path } from "./problem.js";
import { KINDS } from "./schema.js";

/** A side of a proxy that messages come in at, and the one they leave by. */
interface Hop {
  readonly proxy: string;
  readonly from: ProxySideName;
  readonly to: ProxySideName;
  readonly source: SocketConfiguration;
  readonly target: SocketConfiguration;
}

/** Each round once, at the proxy that begins it in the file. @param placeOf of one of several endpoints */
export function loopsOf(proxies: Proxies, placeOf: (socket: Path, at: number) => Path): readonly Finding[] {
  const hops = Object.entries(proxies).flatMap(([proxy, configuration]) => hopsOf(proxy, configuration));
  const after = new Map(hops.map((hop) => [hop, hops.filter((other) => meets(hop.target, other.source))]));
  const findings: Finding[] = [];
  const told = new Set<string>();
  for (const hop of hops) {
    const round = roundFrom(hop, after);
    if (round === undefined) continue;
    const names = round.map(({ proxy }) => proxy);
    const key = [...names].sort().join("\0");
    if (told.has(key)) continue;
    told.add(key);
    const message = `leads back to itself (${[...names, hop.proxy].join(" -> ")}): messages would go round for ever`;
    findings.push({ path: placeOf(...connectionOf(round)), message });
  }
  return findings;
}

function hopsOf(proxy: string, configuration: ProxyConfiguration): readonly Hop[] {
  const { kind, frontend, backend } = configuration;
  const [one, other] = KINDS[kind] ?? [frontend.options.type, backend.options.type];
  try {
    return directionsOf(one as ProxySocketType, other as ProxySocketType)
      .filter(({ carries }) => carries === "messages")
      .map(({ from, to }) => ({
        proxy,
        from,
        to,
        source: configuration[from],
        target: configuration[to],
      }));
  } catch {
    return []; // Types that do not fit are told elsewhere.
  }
}

/** Whether what leaves by one socket comes in at the other, whichever of them connects. */
function meets(target: SocketConfiguration, source: SocketConfiguration): boolean {
  return leading(target, source) >= 0 || leading(source, target) >= 0;
}

/** Which of its connects leads to the other; -1: none. */
function leading(one: SocketConfiguration, other: SocketConfiguration): number {
  return one.connect.findIndex((connect) => other.bind.some((bound) => leadsTo(connect, bound)));
}

/** A connect that closes the round: of the proxy that it begins with, where that one connects, else of the next. */
function connectionOf(round: readonly Hop[]): [connects: Path, at: number] {
  const [first, second, last] = [round[0], round[1], round[round.length - 1]] as [Hop, Hop, Hop];
  const ways = [
    [first.proxy, first.to, leading(first.target, second.source)],
    [first.proxy, first.from, leading(first.source, last.target)],
    [second.proxy, second.from, leading(second.source, first.target)],
  ] as const;
  const [proxy, side, at] = ways.find(([, , index]) => index >= 0) as (typeof ways)[number];
  return [["proxies", proxy, side, "connect"], at];
}

/** The shortest way from a hop through others back to it; that of one proxy to itself is found elsewhere. */
function roundFrom(start: Hop, after: ReadonlyMap<Hop, readonly Hop[]>): readonly Hop[] | undefined {
  const seen = new Set<Hop>([start]);
  let ways: (readonly Hop[])[] = [[start]];
  while (ways.length > 0) {
    const longer: (readonly Hop[])[] = [];
    for (const way of ways) {
      const last = way[way.length - 1] as Hop;
      for (const next of after.get(last) ?? []) {
        if (next === start && way.length > 1) return way;
        // Back by the side it came from is the other direction of one link, no round.
        if (seen.has(next) || next.proxy === last.proxy) continue;
        seen.add(next);
        longer.push([...way, next]);
      }
    }
    ways = longer;
  }
  return undefined;
}
