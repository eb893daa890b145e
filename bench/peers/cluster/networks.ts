/**
 * Two networks on this machine, joined by a link that can be cut, with hosts on each; and one network for hosts that
 * only communicate with each other. Needs Linux, iproute2, and the right to create network namespaces.
 *
 *   n0 ─┐                  ┌─ n2
 *       ├ west ─ link ─ east ┤        west, east: bridges in a separate namespace
 *   n1 ─┘                  └─ n3
 */
import { execFileSync } from "node:child_process";
import type { Place } from "./agents.js";

const LIMIT = 10_000;

function ip(line: string): string {
  return execFileSync("ip", line.split(" "), {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: LIMIT,
  }).toString();
}

/** Why networks cannot be created here; `undefined` if they can. */
export function networksAbsent(): string | undefined {
  const name = `shoal-bench-${process.pid}-probe`;
  try {
    ip(`netns add ${name}`);
    try {
      ip(`-n ${name} link add probe type bridge`);
    } finally {
      ip(`netns del ${name}`);
    }
  } catch {
    return "no right to make network namespaces, or no iproute2 (Debian: apt install iproute2; run as root)";
  }
  return undefined;
}

export class Networks {
  readonly places: readonly Place[];
  readonly #hub: string;
  readonly #names: string[] = [];
  readonly #onExit = () => this.remove();

  /** @param hosts the first half of them are in the west */
  constructor(hosts: number) {
    const prefix = `shoal-bench-${process.pid}`;
    this.#hub = `${prefix}-hub`;
    process.on("exit", this.#onExit);
    try {
      this.#add(this.#hub);
      ip(`-n ${this.#hub} link add westlink type veth peer name eastlink`);
      for (const side of ["west", "east"]) {
        // A bridge with multicast snooping but without a querier would forget its groups.
        ip(`-n ${this.#hub} link add ${side} type bridge mcast_snooping 0`);
        ip(`-n ${this.#hub} link set ${side} up`);
        ip(`-n ${this.#hub} link set ${side}link master ${side}`);
        ip(`-n ${this.#hub} link set ${side}link up`);
      }
      this.places = Array.from({ length: hosts }, (_, host) => {
        const namespace = `${prefix}-${host}`;
        const address = `10.214.7.${host + 1}`;
        this.#add(namespace);
        ip(`-n ${namespace} link set lo up`);
        ip(`-n ${namespace} link add eth0 type veth peer name host${host} netns ${this.#hub}`);
        ip(`-n ${this.#hub} link set host${host} master ${host < hosts / 2 ? "west" : "east"}`);
        ip(`-n ${this.#hub} link set host${host} up`);
        ip(`-n ${namespace} addr add ${address}/24 broadcast 10.214.7.255 dev eth0`);
        ip(`-n ${namespace} link set eth0 up`);
        ip(`-n ${namespace} route add default dev eth0`);
        return { namespace, device: "eth0", address };
      });
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** Cuts the link between west and east, or restores it. */
  cut(isCut: boolean): void {
    ip(`-n ${this.#hub} link set westlink ${isCut ? "down" : "up"}`);
  }

  /** Bytes sent by a host, including headers of the link. */
  sentBytes(host: number): number {
    const { namespace, device } = this.places[host] as Place;
    const text = execFileSync("ip", ["netns", "exec", namespace, "cat", "/proc/net/dev"], {
      timeout: LIMIT,
    }).toString();
    const fields = new RegExp(`${device}:\\s*(.*)`).exec(text)?.[1]?.trim().split(/\s+/) ?? [];
    return Number(fields[8]);
  }

  remove(): void {
    process.off("exit", this.#onExit);
    for (const name of this.#names.splice(0)) {
      try {
        ip(`netns del ${name}`);
      } catch {
        // Removed already.
      }
    }
  }

  #add(name: string): void {
    ip(`netns add ${name}`);
    this.#names.push(name);
  }
}
