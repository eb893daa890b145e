/** Addresses of nodes, "host:port", and which of them are this host's own. IPv4 only; limits.md says so. */
import { lookup } from "node:dns";
import { isIPv4 } from "node:net";
import { InvalidArgumentError } from "../../core/errors.js";
import type { HostInterface } from "../../engine/zmtp/transport/transports.js";
import { MAX_ADDRESS } from "../bounds.js";

/** ms for which the list of the host's interfaces is believed. */
const INTERFACES_AGE = 5_000;

/** An address in its parts. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** The parts of "host:port"; `undefined` for what is not one. The host may be a name. */
export function splitAddress(address: string): HostPort | undefined {
  const at = address.lastIndexOf(":");
  if (at < 1 || address.length > MAX_ADDRESS) return undefined;
  const digits = address.slice(at + 1);
  const port = Number(digits);
  if (!/^\d{1,5}$/.test(digits) || port < 1 || port > 65_535) return undefined;
  return { host: address.slice(0, at), port };
}

/** The same where the host is an IPv4 address: what packets and streams go to. A peer's name is never looked up. */
export function splitIpAddress(address: string): HostPort | undefined {
  const parts = splitAddress(address);
  return parts !== undefined && isIPv4(parts.host) ? parts : undefined;
}

/** The parts of "host:port" as configuration and discovery have it; `undefined` for anything else. */
export function readAddress(value: unknown): HostPort | undefined {
  const parts = typeof value === "string" ? splitAddress(value) : undefined;
  return parts !== undefined && /^[A-Za-z0-9._-]+$/.test(parts.host) ? parts : undefined;
}

/** @throws InvalidArgumentError `EINVAL` for what is not "host:port" */
export function checkAddress(what: string, value: unknown): HostPort {
  const parts = readAddress(value);
  if (parts === undefined)
    throw new InvalidArgumentError(
      `${what} is "host:port" with a port from 1 to 65,535; got ${JSON.stringify(value)}`,
    );
  return parts;
}

/** The IPv4 addresses of a host, each with the port; none where the name is unknown. */
export function resolveAddress({ host, port }: HostPort): Promise<string[]> {
  if (isIPv4(host)) return Promise.resolve([`${host}:${port}`]);
  return new Promise((resolve) => {
    lookup(host, { all: true, family: 4 }, (error, found) => {
      resolve(error === null ? found.map(({ address }) => `${address}:${port}`) : []);
    });
  });
}

/** Which addresses are this host's own. */
export class OwnAddresses {
  readonly #list: () => readonly HostInterface[];
  #own = new Set<string>();
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(list: () => readonly HostInterface[]) {
    this.#list = list;
  }

  has(address: string): boolean {
    if (address.startsWith("127.")) return true;
    const now = performance.now();
    if (now - this.#readAt > INTERFACES_AGE) {
      this.#readAt = now;
      try {
        this.#own = new Set(this.#list().map((each) => each.address));
      } catch {
        // The system has no descriptor left to ask by: what it said before counts.
      }
    }
    return this.#own.has(address);
  }
}
