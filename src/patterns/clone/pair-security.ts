/**
 * How the two servers of a pair know each other. What binds (P + 3, P + 4) is a
 * security server, what connects to the other one's is its client:
 *
 *   NULL   nobody knows anybody
 *   PLAIN  the pair's ports ask the hook that clients are asked by; the user name is in the pair's `socketOptions`
 *   CURVE  each has its key pair and the other's public key, or both have the same pair. Whoever may come to the
 *          clients' ports: the pair's let in the other server's key alone, since who comes there has the whole map,
 *          and holds up what it does not acknowledge.
 */
import { InvalidArgumentError } from "../../core/errors.js";
import { decodeZ85, encodeZ85 } from "../../core/z85.js";
import { curvePublicKey } from "../../sockets/security/curve-keys.js";
import type { CommonOptions, ConstructionOptions } from "../../sockets/socket-options.js";

/** Options of a clone's sockets; `authenticate` judges clients. */
export type CloneSocketOptions = CommonOptions & Pick<ConstructionOptions, "authenticate">;

/** What of a pair's options is about security. */
export interface PairCredentials {
  readonly publicKey?: string | Uint8Array;
  readonly socketOptions?: CommonOptions;
}

/** The options of a pair's sockets, by what they do. */
export interface PairSocketOptions {
  readonly binding: CloneSocketOptions;
  readonly connecting: CommonOptions;
}

const KEY_BYTES = 32;

/** @param shared the server's options for all sockets. @throws InvalidArgumentError `EINVAL` for what is no key */
export function pairSocketOptions(
  shared: CloneSocketOptions,
  { publicKey, socketOptions }: PairCredentials,
): PairSocketOptions {
  const { authenticate, plainServer, curveServer, zapDomain, zapEnforceDomain, ...plain } = shared;
  if (curveServer !== true) {
    if (publicKey !== undefined)
      throw new InvalidArgumentError("A pair's publicKey is for CURVE: socketOptions has no curveServer");
    return { binding: shared, connecting: { ...plain, ...socketOptions } };
  }
  if (plain.curveSecretKey === undefined || plain.curveSecretKey === null)
    throw new InvalidArgumentError("A CURVE server needs the option curveSecretKey");
  const secret = keyOf("curveSecretKey", plain.curveSecretKey);
  const own = curvePublicKey(secret);
  const other = publicKey === undefined ? own : keyOf("publicKey of a pair", publicKey);
  const keys = { curveServerKey: other, curvePublicKey: own, curveSecretKey: secret };
  // A ZAP handler of the program's own is asked about everybody who comes to any port.
  const ownHandler = authenticate === undefined && typeof zapDomain === "string" && zapDomain !== "";
  return {
    binding: ownHandler ? shared : { ...shared, authenticate: (peer) => peer.publicKey === other },
    connecting: { ...plain, ...keys, ...socketOptions },
  };
}

/** A key as Z85. */
function keyOf(name: string, key: string | Uint8Array): string {
  const bytes = typeof key === "string" ? decodeZ85(key) : key;
  if (bytes.length !== KEY_BYTES)
    throw new InvalidArgumentError(`Option ${name} is a key: 40 characters of Z85, or ${KEY_BYTES} bytes`);
  return encodeZ85(bytes);
}
