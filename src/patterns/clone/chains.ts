/**
 * How a client of a subtree sees that it missed an update. The sequence grows with
 * every update of the whole map, so one that is not the last plus one tells such a
 * client nothing. Therefore the server numbers the subtrees that clients asked for,
 * and adds properties:
 *
 *   KTHXBAI  s3=17   the subtree has the number 3; its last update was 17
 *   KVPUB    s3=17   the update before this one in subtree 3 was 17
 *   HUGZ     s3=21   the last one in subtree 3
 *
 * Who knows nothing of it does not look at it. Without subtrees nothing is added.
 */

import { property } from "./properties.js";
import { EMPTY } from "./protocol.js";

/** Subtrees that are numbered; clients of more are served without. */
const MAX_SUBTREES = 256;
const SLASH = 0x2f;

interface Chain {
  readonly number: number;
  last: number;
}

export class Chains {
  readonly #chains = new Map<string, Chain>();

  /** A client asks for a subtree. @param sequence of the map: nothing in the subtree is later */
  register(subtree: Buffer, sequence: number): void {
    const name = subtree.toString("latin1");
    if (name === "" || this.#chains.has(name) || this.#chains.size >= MAX_SUBTREES) return;
    this.#chains.set(name, { number: this.#chains.size + 1, last: sequence });
  }

  /** An update is published. @returns what is added to its properties */
  advance(key: Buffer, sequence: number): string {
    if (this.#chains.size === 0 || key[0] !== SLASH) return "";
    const name = key.toString("latin1");
    let added = "";
    for (let end = name.indexOf("/", 1); end >= 0; end = name.indexOf("/", end + 1)) {
      const chain = this.#chains.get(name.slice(0, end + 1));
      if (chain === undefined) continue;
      added += `s${chain.number}=${chain.last}\n`;
      chain.last = sequence;
    }
    return added;
  }

  /** For a KTHXBAI. */
  of(subtree: Buffer): Buffer {
    const chain = this.#chains.get(subtree.toString("latin1"));
    return chain === undefined ? EMPTY : Buffer.from(`s${chain.number}=${chain.last}\n`);
  }

  /** For a HUGZ. */
  all(): Buffer {
    if (this.#chains.size === 0) return EMPTY;
    let text = "";
    for (const { number, last } of this.#chains.values()) text += `s${number}=${last}\n`;
    return Buffer.from(text);
  }
}

/** A client's side of it: the subtree's number, from a KTHXBAI; `undefined` when the server numbers none. */
export function chainName(properties: Buffer): string | undefined {
  return /^(s[0-9]{1,6})=/.exec(properties.toString("latin1", 0, 32))?.[1];
}

/** The sequence that a chain says; `undefined` when it says none. */
export function chainValue(properties: Buffer, name: string): number | undefined {
  const text = property(properties, name);
  return text !== undefined && /^[0-9]{1,16}$/.test(text) ? Number(text) : undefined;
}
