/** One certificate of a server, in PEM. */
export interface TlsCertificate {
  /** Followed by its intermediate certificates. */
  readonly cert: string;
  readonly key: string;
  /** Decrypts `key`. */
  readonly passphrase?: string;
}

/**
 * Certificates for several host names. From a list, the first whose names match the client's server name
 * (SNI) is used. A function gets that name in lower case; its errors end the handshake, and `undefined`
 * selects the socket's own certificate.
 */
export type TlsCertificates =
  | readonly TlsCertificate[]
  | ((name: string) => TlsCertificate | undefined | Promise<TlsCertificate | undefined>);

const MAX_CERTIFICATES = 1_000;
const MAX_PEM_BYTES = 1_048_576;
const MEMBERS: readonly string[] = ["cert", "key", "passphrase"];

export const TLS_CERTIFICATES_RULE = `a function, a list of at most ${MAX_CERTIFICATES} { cert, key, passphrase? } in PEM, or null`;

export function isTlsCertificates(value: unknown): value is TlsCertificates {
  if (typeof value === "function") return true;
  return Array.isArray(value) && value.length <= MAX_CERTIFICATES && value.every(isTlsCertificate);
}

export function isTlsCertificate(value: unknown): value is TlsCertificate {
  if (typeof value !== "object" || value === null) return false;
  const { cert, key, passphrase } = value as Partial<TlsCertificate>;
  return (
    Object.keys(value).every((name) => MEMBERS.includes(name)) &&
    isPem(cert) &&
    isPem(key) &&
    (passphrase === undefined || typeof passphrase === "string")
  );
}

function isPem(value: unknown): value is string {
  return typeof value === "string" && Buffer.byteLength(value) <= MAX_PEM_BYTES;
}

export function tlsFault(has: (name: string) => boolean): { option: string; message: string } | undefined {
  if (has("tlsCert") === has("tlsKey")) return undefined;
  const [option, missing] = has("tlsCert") ? ["tlsCert", "tlsKey"] : ["tlsKey", "tlsCert"];
  return { option: option as string, message: `TLS needs ${missing} in addition to ${option}` };
}
