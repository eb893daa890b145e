/**
 * Where a node takes messages, as the other nodes have it in its details: a prop of its own, next to those of the
 * program's.
 *
 *   prop "shoal-messages"   1;m=BYTES;NAME=WHERE;NAME=WHERE…
 *
 *   1      version
 *   m      bytes of an item that it takes, where that is not 1 MiB
 *   NAME   a protocol       WHERE   what its listener gave: a port (tcp), a path (ipc)
 *
 * Unknown protocols and what follows the first 400 bytes do not concern a reader.
 */
import { MAX_ADVERT, MAX_ITEM, MAX_PROTOCOLS } from "./bounds.js";

export const MESSAGES_PROP = "shoal-messages";
const VERSION = "1";

export interface MessagesAdvert {
  /** Bytes of an item. */
  readonly maxItem: number;
  /** By the protocol's name. */
  readonly protocols: ReadonlyMap<string, string>;
}

/** Whether a text can name a protocol; "m" is taken. */
export function isProtocolName(name: unknown): name is string {
  return typeof name === "string" && /^[a-z][a-z0-9]{0,15}$/.test(name) && name !== "m";
}

/** @returns `undefined` if it is too long */
export function encodeAdvert({ maxItem, protocols }: MessagesAdvert): string | undefined {
  const fields = [VERSION];
  if (maxItem !== MAX_ITEM) fields.push(`m=${maxItem}`);
  for (const [name, where] of protocols) fields.push(`${name}=${where}`);
  const advert = fields.join(";");
  return Buffer.byteLength(advert) <= MAX_ADVERT ? advert : undefined;
}

/** @returns `undefined` for another version */
export function decodeAdvert(advert: string | undefined): MessagesAdvert | undefined {
  if (advert === undefined || advert.length > MAX_ADVERT) return undefined;
  const [version, ...fields] = advert.split(";");
  if (version !== VERSION) return undefined;
  let maxItem = MAX_ITEM;
  const protocols = new Map<string, string>();
  for (const field of fields) {
    const at = field.indexOf("=");
    const name = field.slice(0, Math.max(0, at));
    if (name === "m") maxItem = /^\d{1,10}$/.test(field.slice(2)) ? Number(field.slice(2)) : maxItem;
    else if (isProtocolName(name) && protocols.size < MAX_PROTOCOLS) protocols.set(name, field.slice(at + 1));
  }
  return { maxItem, protocols };
}
