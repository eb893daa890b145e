/**
 * Keys of nodes: how both ends of a stream prove theirs, and which ones this node admits.
 *
 * The proof follows that of the cluster's key (docs/spec/cluster.md, Identities). Boxes are those of CURVE: X25519,
 * XSalsa20-Poly1305.
 *
 *   KEY        42 | ephemeral public key 32, fresh
 *   IDENTITY   43 | box by both ephemeral keys of (the node's public key 32 | its id 16 | vouch 48)
 *   vouch      box by the node's key and the other end's ephemeral key of the transcript's hash 32
 *
 * A vouch is valid for one direction of this stream, since the hash covers both hellos, both ephemeral keys, the role,
 * the key and the id. The ephemeral keys' shared secret is mixed into the keys that seal the stream, so another holder
 * of the cluster's key can neither read nor take over the stream.
 */

import { createHash, hkdfSync, timingSafeEqual } from "node:crypto";
import { checkKeys, invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { decodeZ85, encodeZ85, isKey } from "../../core/z85.js";
import {
  KEY_LENGTH,
  type KeyPair,
  keyPairOf,
  newKeyPair,
  TAG_LENGTH,
} from "../../engine/zmtp/mechanism/curve-box.js";
import { curveBox } from "../../engine/zmtp/mechanism/curve-primitives.js";
import { curvePublicKey } from "../../sockets/security/curve-keys.js";
import { KeyFolder } from "../../sockets/security/key-folder.js";
import { LatestMap, MAX_MEMBERS } from "../bounds.js";
import { StreamFrame } from "../wire/stream.js";
import type { Hellos, LinkRole } from "./proof.js";

/** What an IDENTITY boxes: public key | id 16, ends at `VOUCH` | boxed hash 32 | and the bytes of all. */
const Identity = { ID: KEY_LENGTH, VOUCH: KEY_LENGTH + 16, SIZE: KEY_LENGTH + 16 + 32 + TAG_LENGTH } as const;

/** Nonces can be fixed, since each key is used for one stream, and for one box per direction. */
const NONCES: Readonly<Record<LinkRole, { readonly identity: Buffer; readonly vouch: Buffer }>> = {
  initiator: { identity: nonceOf("shoal identity dialler"), vouch: nonceOf("shoal vouch dialler") },
  responder: { identity: nonceOf("shoal identity acceptor"), vouch: nonceOf("shoal vouch acceptor") },
};

function nonceOf(text: string): Buffer {
  const nonce = Buffer.alloc(24);
  nonce.write(text, "latin1");
  return nonce;
}

/** A node whose key the other end of a stream proved. */
export interface ProvedNode {
  /** 40 characters of Z85. */
  readonly publicKey: string;
  /** 32 hexadecimal digits. */
  readonly id: string;
}

export class IdentityExchange {
  readonly #own: KeyPair;
  readonly #id: string;
  readonly #role: LinkRole;
  readonly #ephemeral: KeyPair;
  #theirs: Buffer | undefined;
  #shared: Uint8Array | undefined;

  /**
   * @param own the node's key pair
   * @param id the node's
   * @param ephemeral key pair of this stream; tests set it
   */
  constructor(own: KeyPair, id: string, role: LinkRole, ephemeral: KeyPair = newKeyPair(curveBox())) {
    this.#own = own;
    this.#id = id;
    this.#role = role;
    this.#ephemeral = ephemeral;
  }

  get key(): Buffer {
    return Buffer.concat([Buffer.of(StreamFrame.KEY), this.#ephemeral.publicKey]);
  }

  get hasKey(): boolean {
    return this.#shared !== undefined;
  }

  /** @returns whether the KEY is acceptable: the first one, not this end's own, and not a point of low order */
  onKey(frame: Buffer): boolean {
    if (frame.length !== 1 + KEY_LENGTH || this.#theirs !== undefined) return false;
    const key = Buffer.from(frame.subarray(1));
    if (key.equals(this.#ephemeral.publicKey)) return false;
    this.#shared = curveBox().agree(key, this.#ephemeral.secretKey);
    this.#theirs = key;
    return this.#shared !== undefined;
  }

  identity(hellos: Hellos): Buffer {
    const box = curveBox();
    const plain = Buffer.alloc(Identity.SIZE);
    this.#own.publicKey.copy(plain, 0);
    plain.write(this.#id, Identity.ID, "hex");
    const hash = this.#hash(hellos, this.#role, plain.subarray(0, Identity.VOUCH));
    const { identity, vouch } = NONCES[this.#role];
    const vouching = box.agree(this.#theirs as Buffer, this.#own.secretKey) as Uint8Array;
    box.seal(plain.subarray(Identity.VOUCH), hash, vouch, vouching);
    const frame = Buffer.alloc(1 + Identity.SIZE + TAG_LENGTH);
    frame.writeUInt8(StreamFrame.IDENTITY, 0);
    box.seal(frame.subarray(1), plain, identity, this.#shared as Uint8Array);
    return frame;
  }

  /** @returns the node at the other end, or `undefined` if its IDENTITY does not prove it */
  open(frame: Buffer, hellos: Hellos): ProvedNode | undefined {
    if (frame.length !== 1 + Identity.SIZE + TAG_LENGTH || this.#shared === undefined) return undefined;
    const box = curveBox();
    const role = this.#role === "initiator" ? "responder" : "initiator";
    const { identity, vouch } = NONCES[role];
    const plain = Buffer.alloc(Identity.SIZE);
    if (!box.open(plain, frame.subarray(1), identity, this.#shared)) return undefined;
    const key = plain.subarray(0, KEY_LENGTH);
    const vouching = box.agree(key, this.#ephemeral.secretKey);
    const hash = Buffer.alloc(32);
    if (vouching === undefined || !box.open(hash, plain.subarray(Identity.VOUCH), vouch, vouching))
      return undefined;
    const expected = this.#hash(hellos, role, plain.subarray(0, Identity.VOUCH));
    if (!timingSafeEqual(hash, expected)) return undefined;
    return {
      publicKey: encodeZ85(key),
      id: plain.subarray(Identity.ID, Identity.VOUCH).toString("hex"),
    };
  }

  /** Mixed into the keys that seal the stream; only both ends know it. */
  secret(hellos: Hellos): Buffer {
    const salt = createHash("sha256").update(hellos.initiator).update(hellos.responder).digest();
    return Buffer.from(hkdfSync("sha256", this.#shared as Uint8Array, salt, "shoal link secret 1", 32));
  }

  #hash({ initiator, responder }: Hellos, role: LinkRole, who: Buffer): Buffer {
    const theirs = this.#theirs as Buffer;
    const own = this.#ephemeral.publicKey;
    return createHash("sha256")
      .update("shoal link identity 1")
      .update(Buffer.of(role === "initiator" ? 1 : 2))
      .update(initiator)
      .update(responder)
      .update(this.#role === "initiator" ? own : theirs)
      .update(this.#role === "initiator" ? theirs : own)
      .update(who)
      .digest();
  }
}

// --- Admission -------------------------------------------------------------------------------------------------------

/** A node's key pair, and its admitted keys. */
export interface CurveOptions {
  /** 40 characters of Z85, as made by `shoal keygen` and `curveKeyPair`. */
  readonly publicKey: string;
  readonly secretKey: string;
  /** Admitted public keys: a list, or a folder of key or certificate files, watched for changes. */
  readonly allow: string | readonly string[];
}

/** @throws InvalidArgumentError `EINVAL`; its message never contains a secret key */
export function checkCurve(options: CurveOptions): CurveOptions {
  if (typeof options !== "object" || options === null)
    throw invalidArgument("curve must be an object", options);
  checkKeys("curve", options, ["publicKey", "secretKey", "allow"]);
  const { publicKey, secretKey, allow } = options;
  if (!isKey(secretKey))
    throw new InvalidArgumentError("curve.secretKey must be a secret key of 40 characters of Z85");
  if (curvePublicKey(secretKey) !== publicKey)
    throw new InvalidArgumentError("curve.publicKey must be the public key of its secretKey");
  if (Array.isArray(allow)) {
    for (const key of allow)
      if (!isKey(key)) throw invalidArgument("a public key must have 40 characters of Z85", key);
  } else if (typeof allow !== "string" || allow === "")
    throw invalidArgument("curve.allow must be a folder, or a list of public keys", allow);
  return Object.freeze({ ...options, allow: Array.isArray(allow) ? [...allow] : allow });
}

/**
 * Node keys: this node's, the admitted ones, and those that nodes proved. Revoking a key:
 *
 *   the folder changes ──> keys are missing ──> their streams end, and the nodes that proved them are removed
 */
export class NodeIdentities {
  readonly #allow: CurveOptions["allow"];
  readonly #pair: KeyPair;
  /** Last proved key of each node. */
  readonly #proved = new LatestMap<string, string>(MAX_MEMBERS);
  #folder: KeyFolder | undefined;
  /** Without a folder. */
  readonly #keys: ReadonlySet<string>;
  #id = "";

  constructor({ secretKey, allow }: CurveOptions) {
    this.#allow = allow;
    this.#pair = keyPairOf(decodeZ85(secretKey));
    this.#keys = new Set(typeof allow === "string" ? [] : allow);
  }

  /**
   * @param onKeys the folder was read: with its problems, and the nodes whose key is gone
   * @throws InvalidArgumentError `EINVAL` if the folder cannot be read
   */
  async start(
    id: string,
    onKeys: (problems: readonly string[], gone: readonly string[]) => void,
  ): Promise<void> {
    this.#id = id;
    if (typeof this.#allow !== "string") return;
    this.#folder = await KeyFolder.open(this.#allow, ({ keys, problems }) => {
      const gone = [...this.#proved].filter(([, key]) => !keys.has(key)).map(([node]) => node);
      for (const node of gone) this.#proved.delete(node);
      onKeys(problems, gone);
    });
    onKeys(this.#folder.now.problems, []);
  }

  close(): void {
    this.#folder?.close();
  }

  exchange(role: LinkRole): IdentityExchange {
    return new IdentityExchange(this.#pair, this.#id, role);
  }

  /** Listed keys, or those of the folder. */
  get keys(): ReadonlySet<string> {
    return this.#folder?.now.keys ?? this.#keys;
  }

  onAdmitted({ id, publicKey }: ProvedNode): void {
    this.#proved.set(id, publicKey);
  }
}
