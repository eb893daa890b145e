/**
 * Discovery by DNS: looks a name up whenever its records expire.
 *
 *   A, AAAA   the name's addresses with the configured port
 *   SRV       targets with their ports; priorities and weights are ignored
 *
 * A missing name or record is an empty list. The source is down if a server fails.
 */
import type { SrvRecord } from "node:dns";
import { Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { invalidArgument, quoted } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { sleep } from "../../core/waiter.js";
import { anything, checkOptions, choice, type Given, integer } from "../../kit/options.js";
import { MAX_NAME, MAX_SEEDS, MAX_SERVERS } from "../bounds.js";
import type { DiscoverySource } from "./source.js";

const OPTIONS = {
  /** 1 to 65,535. Required for `A` and `AAAA`; SRV records have ports. */
  port: integer({ max: 65_535 }),
  /** Record type. Default: `A` with a port, `SRV` without. */
  type: choice(["A", "AAAA", "SRV"]),
  /** At most 16 DNS servers, "10.0.0.2" or "10.0.0.2:53". Default: the system's. */
  servers: anything<readonly string[]>(),
  /** ms before the second and last try of a server. Default 2,000. */
  timeout: integer({ default: 2_000, max: 60_000 }),
  /** Shortest time between lookups, ms; else the records' time to live counts. Default 1,000. */
  minInterval: integer({ default: 1_000, min: 10 }),
  /** Longest time between lookups, ms. Default 60,000. */
  maxInterval: integer({ default: 60_000, min: 10 }),
};

/** Options of {@link dnsSource}. */
export type DnsSourceOptions = Given<typeof OPTIONS>;

/** TTL in seconds. */
interface Answer {
  readonly addresses: readonly string[];
  readonly ttl: number;
}

/**
 * Finds nodes by a DNS name. The hosts file is not read.
 *
 * @param name at most 253 bytes, such as "billing.example", or "_shoal._tcp.billing.example" for SRV
 * @throws InvalidArgumentError `EINVAL`
 */
export function dnsSource(name: string, options: DnsSourceOptions = {}): DiscoverySource {
  const settings = checkOptions("dnsSource", OPTIONS, options);
  const { port, timeout, servers } = settings;
  const type = settings.type ?? (port === undefined ? "SRV" : "A");
  if (typeof name !== "string" || !/^[A-Za-z0-9._-]{1,253}$/.test(name))
    throw new InvalidArgumentError(
      `the name of dnsSource must have 1 to 253 letters, digits, points, hyphens and underscores; got ${quoted(name)}`,
    );
  if (isIP(name) !== 0)
    throw new InvalidArgumentError(`the name of dnsSource must not be an address: give ${name} as a seed`);
  if (type !== "SRV" && port === undefined)
    throw new InvalidArgumentError(`dnsSource needs a port for ${type} records`);
  if (type === "SRV" && port !== undefined)
    throw new InvalidArgumentError("dnsSource takes no port for SRV records: each has its own");
  if (settings.minInterval > settings.maxInterval)
    throw new InvalidArgumentError("dnsSource: minInterval must not be above maxInterval");
  const make = (): Resolver => {
    const resolver = new Resolver({ timeout, tries: 2 });
    if (servers !== undefined) resolver.setServers(servers);
    return resolver;
  };
  checkServers(servers, make);

  return {
    name: `dns:${name}`.slice(0, MAX_NAME),
    async *discover(_self, signal) {
      const resolver = make();
      const cancel = (): void => resolver.cancel();
      signal.addEventListener("abort", cancel, { once: true });
      try {
        while (!signal.aborted) {
          const { addresses, ttl } =
            type === "SRV"
              ? await servicesOf(resolver, name, signal)
              : await addressesOf(resolver, name, type, port as number);
          yield addresses;
          // Without an address: nodes may start soon.
          const due = addresses.length === 0 ? 5_000 : ttl * 1_000;
          const pause = Math.max(settings.minInterval, Math.min(due, settings.maxInterval));
          // Nodes started together do not query together.
          await sleep(pause * (1 + 0.1 * Math.random()), signal);
        }
      } finally {
        signal.removeEventListener("abort", cancel);
        resolver.cancel();
      }
    },
  };
}

function checkServers(servers: readonly string[] | undefined, make: () => Resolver): void {
  if (servers === undefined) return;
  if (!Array.isArray(servers) || servers.length === 0 || servers.length > MAX_SERVERS)
    throw invalidArgument(`servers of dnsSource must be 1 to ${MAX_SERVERS} addresses`, servers);
  try {
    make();
  } catch (cause) {
    throw new InvalidArgumentError(
      `servers of dnsSource must be addresses such as "10.0.0.2" or "10.0.0.2:53"; got ${JSON.stringify(servers)}`,
      { cause },
    );
  }
}

async function addressesOf(
  resolver: Resolver,
  name: string,
  type: "A" | "AAAA",
  port: number,
): Promise<Answer> {
  const records = await recordsOf(
    type === "A" ? resolver.resolve4(name, { ttl: true }) : resolver.resolve6(name, { ttl: true }),
  );
  return {
    addresses: records.map(({ address }) => (type === "A" ? `${address}:${port}` : `[${address}]:${port}`)),
    ttl: least(records),
  };
}

/** None if the name or its records are missing. */
async function recordsOf<T>(query: Promise<readonly T[]>): Promise<readonly T[]> {
  try {
    return await query;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTFOUND" || code === "ENODATA") return [];
    throw error;
  }
}

/** Targets whose lookup fails are left out. @throws the error of one if none has an address */
async function servicesOf(resolver: Resolver, name: string, signal: AbortSignal): Promise<Answer> {
  const records = await recordsOf(resolver.resolveSrv(name));
  // RFC 2782: the service is not available. The node counts what is too much.
  const targets = records
    .filter(({ name: target, port }) => target !== "" && target !== "." && port > 0)
    .slice(0, MAX_SEEDS + 1);
  const answers: Answer[] = [];
  let failure: unknown;
  const lookUp = async ({ name: target, port }: SrvRecord): Promise<void> => {
    const families = await Promise.allSettled([
      addressesOf(resolver, target, "A", port),
      addressesOf(resolver, target, "AAAA", port),
    ]);
    const found = families.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    const failed = families.find((each) => each.status === "rejected");
    if (failed !== undefined) failure = failed.reason;
    // Some servers refuse AAAA queries; the other family is then enough.
    answers.push({
      addresses: found.flatMap(({ addresses }) => addresses),
      ttl: least(found.filter(({ addresses }) => addresses.length > 0)),
    });
  };
  // `cancel` ends only current queries.
  for (let at = 0; at < targets.length && !signal.aborted; at += 8)
    await Promise.all(targets.slice(at, at + 8).map(lookUp));
  if (failure !== undefined && answers.every(({ addresses }) => addresses.length === 0)) throw failure;
  // Node reports no TTL of SRV records.
  return { addresses: answers.flatMap(({ addresses }) => addresses), ttl: least(answers) };
}

function least(records: readonly { readonly ttl: number }[]): number {
  return records.reduce((found, { ttl }) => Math.min(found, ttl), Number.POSITIVE_INFINITY);
}
