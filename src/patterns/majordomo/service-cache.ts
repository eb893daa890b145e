/**
 * Services by the bytes of a head: making a string of each request's service cost
 * more than the rest of looking it up. What is not here, or shares its place with
 * another, is found by its name.
 */
import { fnv1a } from "../../core/hash.js";
import type { Service } from "./broker-tables.js";
import { SERVICE_AT } from "./heads.js";

/** Places; a power of two. */
const PLACES = 8_192;

export class ServiceCache {
  readonly #places: (Service | undefined)[] = new Array(PLACES).fill(undefined);

  find(head: Buffer): Service | undefined {
    const service = this.#places[placeOf(head, SERVICE_AT)];
    if (service === undefined) return undefined;
    const { frame } = service;
    if (frame.length !== head.length - SERVICE_AT) return undefined;
    for (let i = 0; i < frame.length; i++) if (frame[i] !== head[SERVICE_AT + i]) return undefined;
    return service;
  }

  add(service: Service, head: Buffer): void {
    // A name that is no UTF-8 is known by what it is shown as; its bytes may be others.
    if (head.length - SERVICE_AT === service.frame.length) this.#places[placeOf(head, SERVICE_AT)] = service;
  }

  remove(service: Service): void {
    const place = placeOf(service.frame, 0);
    if (this.#places[place] === service) this.#places[place] = undefined;
  }
}

/** FNV-1a of the name that begins at `at`. */
function placeOf(bytes: Buffer, at: number): number {
  const hash = fnv1a(bytes, at, bytes.length);
  return (hash ^ (hash >>> 13)) & (PLACES - 1);
}
