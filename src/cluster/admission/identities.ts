/**
 * The keys of a node, which other keys it admits, and whose key each node proved. A key that is no longer allowed is revoked:
 *
 *   the folder changes ──> keys that left it ──> their streams end, and the nodes that proved them are removed
 */
import { checkKeys, describe } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { decodeZ85 } from "../../core/z85.js";
import { type KeyPair, keyPairOf } from "../../engine/zmtp/mechanism/curve-key-pair.js";
import { loadCurveBox } from "../../engine/zmtp/mechanism/curve-primitives.js";
import { curvePublicKey } from "../../sockets/security/curve-keys.js";
import { KeyFolder } from "../../sockets/security/key-folder.js";
import { MAX_MEMBERS } from "../bounds.js";
import { IdentityExchange, type ProvedNode } from "./identity.js";
import type { LinkRole } from "./proof.js";

/** A node's key pair, as `shoal keygen` and `curveKeyPair` make it. */
export interface NodeKeys {
  /** 40 characters of Z85. */
  readonly publicKey: string;
  readonly secretKey: string;
}

/** Who asks to be admitted. */
export interface AdmissionRequest {
  /** 40 characters of Z85: proved. */
  readonly publicKey: string;
  /** The node's id: proved, too. */
  readonly id: string;
  /** "host:port" that was dialled, or the address that it dialled from. */
  readonly address: string;
}

/** A node's own key, and whom it admits. */
export interface CurveOptions extends NodeKeys {
  /** Shown in place of it where this node dials. */
  readonly dialling?: NodeKeys | undefined;
  /**
   * The public keys that are admitted: a list, a folder of files with keys or certificates, which is read again when it changes,
   * or a function, which is asked for each stream. It is a refusal when it throws (event `admission:failed`), or does not answer with `true`
   * within the 10 s in which a stream has to be proved.
   */
  readonly allow: string | readonly string[] | ((request: AdmissionRequest) => boolean | Promise<boolean>);
}

/** What a change of the allowed keys does. */
export interface IdentitiesEffects {
  /** Ends the streams of nodes whose key is not admitted any more. */
  revoke(isAllowed: (node: ProvedNode) => boolean): void;
  /** Removes a node that proved such a key. */
  remove(id: string): void;
  /** The program's function threw: the node at an address is refused. */
  onAllowFailed(address: string, error: unknown): void;
  /** The folder of keys has a problem, or none any more. */
  onProblems(problems: readonly string[]): void;
}

/** @throws InvalidArgumentError `EINVAL`; never with a secret in its message */
export function checkCurve(options: CurveOptions): CurveOptions {
  if (typeof options !== "object" || options === null)
    throw new InvalidArgumentError(`curve is an object; got ${describe(options)}`);
  checkKeys("curve", options, ["publicKey", "secretKey", "dialling", "allow"]);
  const { publicKey, secretKey, dialling, allow } = options;
  checkPair("curve", { publicKey, secretKey });
  if (dialling !== undefined) {
    checkKeys("curve.dialling", dialling, ["publicKey", "secretKey"]);
    checkPair("curve.dialling", dialling);
  }
  if (Array.isArray(allow)) for (const key of allow) publicKeyOf(key);
  else if (typeof allow !== "function" && (typeof allow !== "string" || allow === ""))
    throw new InvalidArgumentError("curve.allow is a folder, a list of public keys, or a function");
  return Object.freeze({ ...options, allow: Array.isArray(allow) ? [...allow] : allow });
}

/** @throws InvalidArgumentError `EINVAL` for keys that do not belong together */
export function checkPair(what: string, { publicKey, secretKey }: NodeKeys): void {
  let made: string | undefined;
  try {
    made = curvePublicKey(secretKey);
  } catch {
    made = undefined;
  }
  if (made === undefined)
    throw new InvalidArgumentError(`${what}.secretKey is a secret key of 40 characters of Z85`);
  if (made !== publicKey)
    throw new InvalidArgumentError(`${what}.publicKey is not the one that belongs to its secret key`);
}

function publicKeyOf(key: unknown): string {
  try {
    if (typeof key === "string" && key.length === 40 && decodeZ85(key).length === 32) return key;
  } catch {
    // Below.
  }
  throw new InvalidArgumentError(`a public key has 40 characters of Z85; got ${describe(key)}`);
}

export class NodeIdentities {
  readonly #allow: CurveOptions["allow"];
  readonly #pairs: Readonly<Record<LinkRole, KeyPair>>;
  readonly #effects: IdentitiesEffects;
  /** Which keys each node proved last, and first of those where it dialled; the oldest first. */
  readonly #proved = new Map<string, { readonly last: string; readonly dialling: string | undefined }>();
  #folder: KeyFolder | undefined;
  #keys: ReadonlySet<string> = new Set();
  #id = "";

  constructor({ secretKey, dialling, allow }: CurveOptions, effects: IdentitiesEffects) {
    this.#allow = allow;
    this.#effects = effects;
    const acceptor = keyPairOf(decodeZ85(secretKey));
    this.#pairs = {
      acceptor,
      dialler: dialling === undefined ? acceptor : keyPairOf(decodeZ85(dialling.secretKey)),
    };
    if (Array.isArray(allow)) this.#keys = new Set(allow as readonly string[]);
  }

  /** Reads the folder. @throws InvalidArgumentError `EINVAL` for one that cannot be read @throws what `loadCurveBox` throws */
  async start(id: string): Promise<void> {
    this.#id = id;
    await loadCurveBox();
    if (typeof this.#allow !== "string") return;
    this.#folder = await KeyFolder.open(this.#allow, ({ keys, problems }) => {
      this.#effects.onProblems(problems);
      this.#setKeys(keys);
    });
    this.#keys = this.#folder.now.keys;
    if (this.#folder.now.problems.length > 0) this.#effects.onProblems(this.#folder.now.problems);
  }

  close(): void {
    this.#folder?.close();
  }

  /** The node's own, by its role in a stream. */
  get pairs(): Readonly<Record<LinkRole, KeyPair>> {
    return this.#pairs;
  }

  /** Whether a key is in the list or the folder; `undefined` where a function of the program decides. */
  allows(publicKey: string): boolean | undefined {
    return typeof this.#allow === "function" ? undefined : this.#keys.has(publicKey);
  }

  /**
   * The key that a node proved over a stream by which it dialled this one, where it did. Of several the first: a later one may be of a member
   * that claims the id. Where it was dialled, it may have shown that of a listener, which it does not announce.
   */
  provedBy(id: string): string | undefined {
    return this.#proved.get(id)?.dialling;
  }

  /** The exchange of a new stream. @param keys of the listener that accepted it, in place of the node's */
  exchange(role: LinkRole, keys: NodeKeys | undefined): IdentityExchange {
    const pair = keys === undefined ? this.#pairs[role] : keyPairOf(decodeZ85(keys.secretKey));
    return new IdentityExchange(pair, this.#id, role);
  }

  /** Whether a node is admitted; a promise where the program's function takes time. Never rejects. */
  admits(node: ProvedNode, address: string): boolean | Promise<boolean> {
    if (typeof this.#allow !== "function") return this.#keys.has(node.publicKey);
    try {
      const answer = this.#allow({ ...node, address });
      if (typeof answer === "boolean") return answer;
      return Promise.resolve(answer).then(
        (admitted) => admitted === true,
        (error: unknown) => this.#refuse(address, error),
      );
    } catch (error) {
      return this.#refuse(address, error);
    }
  }

  #refuse(address: string, error: unknown): false {
    this.#effects.onAllowFailed(address, error);
    return false;
  }

  /** A node was admitted. @param role its own in the stream */
  onAdmitted({ id, publicKey }: ProvedNode, role: LinkRole): void {
    const dialling = this.#proved.get(id)?.dialling ?? (role === "dialler" ? publicKey : undefined);
    this.#proved.delete(id);
    this.#proved.set(id, { last: publicKey, dialling });
    const [oldest] = this.#proved.keys();
    if (this.#proved.size > MAX_MEMBERS && oldest !== undefined) this.#proved.delete(oldest);
  }

  #setKeys(keys: ReadonlySet<string>): void {
    this.#keys = keys;
    // First, while the streams stand: a removed node hears of it over one.
    for (const [id, { last }] of this.#proved) {
      if (keys.has(last)) continue;
      this.#proved.delete(id);
      this.#effects.remove(id);
    }
    this.#effects.revoke(({ publicKey }) => keys.has(publicKey));
  }
}
