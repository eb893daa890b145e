/** Advertised endpoints of a program: texts, or the endpoints of a socket while it is bound to them. */
import { describe } from "../../core/arguments.js";
import { InvalidArgumentError, type ShoalError } from "../../core/errors.js";
import { watchBound } from "../../sockets/internal.js";
import { Socket } from "../../sockets/socket.js";
import { checkAdvertised, checkServiceName, endpointText, published } from "../endpoints.js";

export interface AdvertiserEffects {
  /** @throws InvalidArgumentError `EINVAL` for too many or too long endpoints; nothing has changed then */
  publish(): void;
  refused(name: string, endpoint: string, error: ShoalError): void;
}

interface Entry {
  readonly name: string;
  endpoints: readonly string[];
  stop: () => void;
}

export class Advertiser {
  readonly #effects: AdvertiserEffects;
  readonly #entries = new Set<Entry>();

  constructor(effects: AdvertiserEffects) {
    this.#effects = effects;
  }

  /** @returns withdraws them @throws InvalidArgumentError `EINVAL`; nothing has changed then */
  add(name: string, of: Socket | string): () => void {
    checkServiceName(name);
    if (typeof of !== "string" && !(of instanceof Socket))
      throw new InvalidArgumentError(`advertise takes an endpoint or a socket; got ${describe(of)}`);
    if (typeof of === "string") checkAdvertised(of);
    const entry: Entry = { name, endpoints: typeof of === "string" ? [of] : [], stop: () => undefined };
    this.#entries.add(entry);
    let isFirst = true;
    try {
      if (typeof of === "string") this.#effects.publish();
      else
        entry.stop = watchBound(of, (bound) => {
          // The caller gets errors of existing endpoints; later ones are reported.
          if (isFirst) this.#set(entry, bound.filter(isForPeers));
          else this.#update(entry, bound.filter(isForPeers));
          isFirst = false;
        });
    } catch (error) {
      this.#entries.delete(entry);
      throw error;
    }
    return () => this.#withdraw(entry);
  }

  /** Texts for the details. @param host the node's address, for wildcards */
  texts(host: string): string[] {
    const texts = new Set<string>();
    for (const { name, endpoints } of this.#entries)
      for (const endpoint of endpoints)
        texts.add(endpointText({ name, endpoint: published(endpoint, host) }));
    return [...texts];
  }

  close(): void {
    for (const { stop } of this.#entries) stop();
    this.#entries.clear();
  }

  #withdraw(entry: Entry): void {
    entry.stop();
    if (this.#entries.delete(entry) && entry.endpoints.length > 0) this.#effects.publish();
  }

  #set(entry: Entry, endpoints: readonly string[]): void {
    const before = entry.endpoints;
    if (before.join("\n") === endpoints.join("\n")) return;
    entry.endpoints = endpoints;
    try {
      this.#effects.publish();
    } catch (error) {
      entry.endpoints = before;
      throw error;
    }
  }

  /** An endpoint too many leaves the existing ones. */
  #update(entry: Entry, bound: readonly string[]): void {
    if (!this.#entries.has(entry)) return;
    const kept = entry.endpoints.filter((endpoint) => bound.includes(endpoint));
    this.#set(entry, kept);
    for (const endpoint of bound) {
      if (kept.includes(endpoint)) continue;
      try {
        this.#set(entry, [...entry.endpoints, endpoint]);
      } catch (error) {
        this.#effects.refused(entry.name, endpoint, error as ShoalError);
      }
    }
  }
}

function isForPeers(endpoint: string): boolean {
  return /^t(?:cp|ls):/.test(endpoint) || endpoint.startsWith("ipc:");
}
