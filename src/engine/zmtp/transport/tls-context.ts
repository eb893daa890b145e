/**
 * The keys, certificates and authorities of `tls://`, from a socket's options.
 *
 *   bind      tlsCert and tlsKey; with tlsCa each peer needs a certificate signed by one of these authorities
 *   connect   tlsCa has the trusted authorities, by default the system's; tlsCert and tlsKey for servers that ask for them
 *
 * Options are read for each handshake, so certificates can be renewed.
 */
import { isIP } from "node:net";
import type { PeerCertificate, SecureContext } from "node:tls";
import { checkAuthorities } from "../../../core/arguments.js";
import { InvalidArgumentError } from "../../../core/errors.js";
import type { EndpointUse } from "../../../core/schemes/scheme.js";
import type { TransportOptions } from "./transport.js";

type TlsOptions = Pick<
  TransportOptions,
  "tlsCert" | "tlsKey" | "tlsPassphrase" | "tlsCa" | "tlsServerName" | "tlsCheckName" | "tlsMinVersion"
>;

interface WithSystemCertificates {
  getCACertificates?(type: "default" | "system"): readonly string[];
}

const CONTEXT_OPTIONS = ["tlsCert", "tlsKey", "tlsPassphrase", "tlsCa", "tlsMinVersion"] as const;

interface Kept {
  readonly values: readonly unknown[];
  readonly context: SecureContext;
  /** Peers need a certificate. */
  readonly asks: boolean;
}

/** The last valid context of each socket: making one takes milliseconds. */
const contexts = new WeakMap<object, { bind?: Kept; connect?: Kept }>();

/** @throws InvalidArgumentError `EINVAL` for missing, malformed or mismatched keys and certificates */
export function contextOf(options: TlsOptions, use: EndpointUse): SecureContext {
  let both = contexts.get(options);
  if (both === undefined) {
    both = {};
    contexts.set(options, both);
  }
  const values = CONTEXT_OPTIONS.map((name) => options[name]);
  const kept = both[use];
  if (kept?.values.every((value, at) => value === values[at])) return kept.context;
  const context = makeContext(options, use);
  both[use] = { values, context, asks: options.tlsCa !== null };
  return context;
}

/** For a server whose present options are invalid. */
export function lastContextOf(options: TlsOptions): Omit<Kept, "values"> | undefined {
  return contexts.get(options)?.bind;
}

function makeContext(options: TlsOptions, use: EndpointUse): SecureContext {
  const { tlsCert, tlsKey, tlsPassphrase, tlsCa, tlsMinVersion } = options;
  if (use === "bind" && (tlsCert === null || tlsKey === null))
    throw new InvalidArgumentError("To bind tls:// the socket needs the options tlsCert and tlsKey, in PEM");
  if ((tlsCert === null) !== (tlsKey === null))
    throw new InvalidArgumentError("The options tlsCert and tlsKey go together");
  // Node.js ignores an empty text (a file during its rewrite), and refuses every peer.
  if (tlsCert === "" || tlsKey === "")
    throw new InvalidArgumentError("tlsCert and tlsKey cannot be used: one of them is empty");
  if (tlsCa !== null) checkAuthorities("The option tlsCa", tlsCa);
  if (!CHECKS_KEYS) checkKey(options);
  const ca = tlsCa ?? (use === "connect" ? systemCertificates() : undefined);
  try {
    return process.getBuiltinModule("node:tls").createSecureContext({
      minVersion: tlsMinVersion,
      ...(tlsCert === null ? {} : { cert: tlsCert }),
      ...(tlsKey === null ? {} : { key: tlsKey }),
      ...(tlsPassphrase === null ? {} : { passphrase: tlsPassphrase }),
      ...(ca === undefined ? {} : { ca: ca as string | string[] }),
      // A resumed session would skip the check of the client's certificate; OpenSSL refuses it with an alert.
      ...(use === "bind" && tlsCa !== null ? { secureOptions: crypto().constants.SSL_OP_NO_TICKET } : {}),
    });
  } catch (error) {
    throw new InvalidArgumentError(`tlsCert, tlsKey and tlsCa cannot be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Deno checks keys only with the first peer. */
const CHECKS_KEYS = process.versions.deno === undefined;

function checkKey({ tlsCert, tlsKey, tlsPassphrase }: TlsOptions): void {
  if (tlsCert === null || tlsKey === null) return;
  let fits = false;
  try {
    const passphrase = tlsPassphrase === null ? {} : { passphrase: tlsPassphrase };
    const { createPrivateKey, X509Certificate } = crypto();
    fits = new X509Certificate(tlsCert).checkPrivateKey(createPrivateKey({ key: tlsKey, ...passphrase }));
  } catch (error) {
    throw new InvalidArgumentError(`tlsCert and tlsKey cannot be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
  if (!fits)
    throw new InvalidArgumentError("tlsCert and tlsKey cannot be used: the key is another certificate's");
}

/** Loaded with TLS: it takes several ms. */
function crypto(): typeof import("node:crypto") {
  return process.getBuiltinModule("node:crypto");
}

/** `undefined`: Node.js uses its own. */
function systemCertificates(): readonly string[] | undefined {
  const { getCACertificates } = process.getBuiltinModule("node:tls") as WithSystemCertificates;
  if (getCACertificates === undefined) return undefined;
  return [...new Set([...getCACertificates("default"), ...getCACertificates("system")])];
}

/** The names to send (SNI) and to find in the certificate. */
export function serverNameOf(
  { tlsServerName }: TlsOptions,
  host: string,
): { readonly sent: string | undefined; readonly checked: string } {
  const name = tlsServerName ?? host.replace(/%.*$/, "");
  // Addresses are not sent (RFC 6066), but must be in the certificate.
  return { sent: isIP(name) === 0 ? name : undefined, checked: name };
}

/** Node.js 22.23 never matches IPv6 addresses (its `domainToASCII` returns an empty text). */
export function identityFault(host: string, certificate: PeerCertificate): Error | undefined {
  const fault = process.getBuiltinModule("node:tls").checkServerIdentity(host, certificate);
  if (fault === undefined || isIP(host) !== 6) return fault;
  return new (crypto().X509Certificate)(certificate.raw).checkIP(host) === undefined ? fault : undefined;
}
