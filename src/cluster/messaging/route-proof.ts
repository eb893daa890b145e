/**
 * What a node announces of its routes, and the signatures of its blocks.
 *
 *   prop "shoal-routes"   base64url of: life 6 | Ed25519 public key 32
 *
 * The life is a random number, another one for each life of a node's messaging; the key belongs to it, and is kept nowhere. Who may state a
 * node's details may state its key: a block is as trustworthy as the membership that its key came by.
 */
import type { KeyObject } from "node:crypto";
import type { RouteProof } from "./route-replication.js";

/** The prop that it is. */
export const ROUTES_PROP = "shoal-routes";

const LIFE_BYTES = 6;
const KEY_BYTES = 32;
const LENGTH = Math.ceil(((LIFE_BYTES + KEY_BYTES) * 4) / 3);
/** What stands before a key of Ed25519 in its DER form: RFC 8410, 4. */
const SPKI = Buffer.from("302a300506032b6570032100", "hex");
/** Before what is signed: a signature of it is one of nothing else. */
const CONTEXT = Buffer.from("shoal routes 1\0", "latin1");

interface Announcement {
  readonly text: string;
  readonly life: number;
  readonly key: Buffer;
}

/** @returns `undefined` for what is none */
function parse(text: string | undefined): Announcement | undefined {
  if (text?.length !== LENGTH || !/^[\w-]*$/.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64url");
  if (bytes.length !== LIFE_BYTES + KEY_BYTES) return undefined;
  return { text, life: bytes.readUIntBE(0, LIFE_BYTES), key: bytes.subarray(LIFE_BYTES) };
}

/** The life that a node announces; `undefined`: it announces none. */
export function lifeOf(prop: string | undefined): number | undefined {
  return parse(prop)?.life;
}

export class RouteSignatures implements RouteProof {
  readonly life: number;
  /** For this node's details. */
  readonly prop: string;
  readonly #privateKey: KeyObject;
  readonly #propOf: (id: string) => string | undefined;
  /** Keys that were used, by node. */
  readonly #keys = new Map<
    string,
    { readonly text: string; readonly life: number; readonly key: KeyObject }
  >();

  /** @param propOf what another node announces */
  constructor(propOf: (id: string) => string | undefined) {
    const { generateKeyPairSync, randomBytes } = process.getBuiltinModule("node:crypto");
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const key = publicKey.export({ format: "der", type: "spki" }).subarray(SPKI.length);
    const life = randomBytes(LIFE_BYTES);
    this.life = life.readUIntBE(0, LIFE_BYTES);
    this.prop = Buffer.concat([life, key]).toString("base64url");
    this.#privateKey = privateKey;
    this.#propOf = propOf;
  }

  sign(bytes: Uint8Array): Uint8Array {
    const { sign } = process.getBuiltinModule("node:crypto");
    return sign(null, Buffer.concat([CONTEXT, bytes]), this.#privateKey);
  }

  verify(id: string, life: number, bytes: Uint8Array, signature: Uint8Array): boolean {
    const known = this.#keyOf(id);
    if (known?.life !== life) return false;
    const { verify } = process.getBuiltinModule("node:crypto");
    return verify(null, Buffer.concat([CONTEXT, bytes]), known.key, signature);
  }

  forget(id: string): void {
    this.#keys.delete(id);
  }

  #keyOf(id: string): { readonly life: number; readonly key: KeyObject } | undefined {
    const text = this.#propOf(id);
    const known = this.#keys.get(id);
    if (known !== undefined && known.text === text) return known;
    const announced = parse(text);
    if (announced === undefined) return undefined;
    const { createPublicKey } = process.getBuiltinModule("node:crypto");
    const key = createPublicKey({ key: Buffer.concat([SPKI, announced.key]), format: "der", type: "spki" });
    const made = { text: announced.text, life: announced.life, key };
    this.#keys.set(id, made);
    return made;
  }
}
