/**
 * Node keys: this node's, the admitted ones, and those that nodes proved. Revoking a key:
 *
 *   the folder changes ──> keys are missing ──> their streams end, and the nodes that proved them are removed
 */
import { checkKeys, invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { decodeZ85, isKey } from "../../core/z85.js";
import { type KeyPair, keyPairOf } from "../../engine/zmtp/mechanism/curve-box.js";
import { loadCurveBox } from "../../engine/zmtp/mechanism/curve-primitives.js";
import { curvePublicKey } from "../../sockets/security/curve-keys.js";
import { KeyFolder } from "../../sockets/security/key-folder.js";
import { LatestMap, MAX_MEMBERS } from "../bounds.js";
import { IdentityExchange, type ProvedNode } from "./identity.js";
import type { LinkRole } from "./proof.js";

/** A node that asks for admission. */
export interface AdmissionRequest {
  /** Proved public key, 40 characters of Z85. */
  readonly publicKey: string;
  /** Proved. */
  readonly id: string;
  /** Dialled "host:port", or the dialling node's source address. */
  readonly address: string;
}

/** A node's key pair, and its admitted keys. */
export interface CurveOptions {
  /** 40 characters of Z85, as made by `shoal keygen` and `curveKeyPair`. */
  readonly publicKey: string;
  readonly secretKey: string;
  /**
   * Admitted public keys: a list; a folder of key or certificate files, watched for changes; or a function, called for
   * each stream. The node is refused if the function throws (event `admission:failed`) or does not return `true` within
   * the 10 s in which a stream must be proved.
   */
  readonly allow: string | readonly string[] | ((request: AdmissionRequest) => boolean | Promise<boolean>);
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
  } else if (typeof allow !== "function" && (typeof allow !== "string" || allow === ""))
    throw invalidArgument("curve.allow must be a folder, a list of public keys, or a function", allow);
  return Object.freeze({ ...options, allow: Array.isArray(allow) ? [...allow] : allow });
}

export class NodeIdentities {
  readonly #allow: CurveOptions["allow"];
  readonly #pair: KeyPair;
  readonly #onFailed: (address: string, error: unknown) => void;
  /** Last proved key of each node. */
  readonly #proved = new LatestMap<string, string>(MAX_MEMBERS);
  #folder: KeyFolder | undefined;
  /** Without a folder. */
  readonly #keys: ReadonlySet<string>;
  #id = "";

  /** @param onFailed the program's function threw, so the node at this address is refused */
  constructor({ secretKey, allow }: CurveOptions, onFailed: (address: string, error: unknown) => void) {
    this.#allow = allow;
    this.#onFailed = onFailed;
    this.#pair = keyPairOf(decodeZ85(secretKey));
    this.#keys = new Set(Array.isArray(allow) ? (allow as readonly string[]) : []);
  }

  /**
   * @param onKeys the folder was read: with its problems, and the nodes whose key is gone
   * @throws InvalidArgumentError `EINVAL` if the folder cannot be read; errors of `loadCurveBox`
   */
  async start(
    id: string,
    onKeys: (problems: readonly string[], gone: readonly string[]) => void,
  ): Promise<void> {
    this.#id = id;
    await loadCurveBox();
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

  /** Never rejects. */
  async admits(node: ProvedNode, address: string): Promise<boolean> {
    if (typeof this.#allow !== "function") return this.keys.has(node.publicKey);
    try {
      return (await this.#allow({ ...node, address })) === true;
    } catch (error) {
      this.#onFailed(address, error);
      return false;
    }
  }

  onAdmitted({ id, publicKey }: ProvedNode): void {
    this.#proved.set(id, publicKey);
  }
}
