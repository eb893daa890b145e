/**
 * TLS below a node's streams. The cluster's key and node keys are proved within TLS.
 *
 *   TCP ──both ends show a certificate that `ca` signed──> TLS 1.3 ──hello, PROOF …──> see docs/spec/cluster.md
 *
 * `set` renews certificates: the transport reads the options again for each handshake.
 */
import { checkAuthorities, checkKeys, invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { type OptionValues, optionValues } from "../../core/option-table.js";
import { contextOf } from "../../engine/zmtp/transport/tls.js";

export interface ClusterCertificate {
  /** PEM: the certificate, followed by its intermediate authorities. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  readonly passphrase?: string | undefined;
}

/** TLS of a node's streams. Both ends show a certificate. */
export interface ClusterTlsOptions extends ClusterCertificate {
  /** PEM: accepted authorities. Any certificate of theirs admits a node, so use an authority for this cluster only. */
  readonly ca: string;
  /** Certificate shown instead to nodes that this one dials. */
  readonly dialling?: ClusterCertificate | undefined;
  /** Whether the certificate of a dialled node must contain its IP address. Default `false`. */
  readonly checkAddress?: boolean | undefined;
}

/** TLS of one listener. Default of `ca`: the node's. */
export interface ClusterListenerTls extends ClusterCertificate {
  readonly ca?: string | undefined;
}

const CERTIFICATE_KEYS = ["cert", "key", "passphrase"] as const;

/**
 * @param what names the option
 * @throws InvalidArgumentError `EINVAL`; its message never contains a key
 */
export function checkTls(what: string, given: ClusterTlsOptions): ClusterTlsOptions {
  checkKeys(what, given, [...CERTIFICATE_KEYS, "ca", "dialling", "checkAddress"]);
  const { dialling, checkAddress, ...own } = given;
  if (dialling !== undefined) checkKeys(`${what}.dialling`, dialling, CERTIFICATE_KEYS);
  if (checkAddress !== undefined && typeof checkAddress !== "boolean")
    throw invalidArgument(`${what}.checkAddress must be true or false`, checkAddress);
  const checked: ClusterTlsOptions = Object.freeze({
    ...own,
    ...(checkAddress === undefined ? {} : { checkAddress }),
    ...(dialling === undefined ? {} : { dialling: Object.freeze({ ...dialling }) }),
  });
  checkPem(`${what}.ca`, given.ca, "CERTIFICATE-----");
  checkAuthorities(`${what}.ca`, checked.ca);
  checkUsable(what, checked, checked.ca);
  if (checked.dialling !== undefined) checkUsable(`${what}.dialling`, checked.dialling, checked.ca);
  return checked;
}

/**
 * @param ca the node's
 * @throws InvalidArgumentError `EINVAL`
 */
export function checkListenerTls(given: ClusterListenerTls, ca: string | undefined): ClusterTlsOptions {
  checkKeys("listen.tls", given, [...CERTIFICATE_KEYS, "ca"]);
  const own = given.ca ?? ca;
  if (own === undefined) throw new InvalidArgumentError("listen.tls needs ca if the node has no tls");
  return checkTls("listen.tls", { ...given, ca: own });
}

/** Checks a server's certificate, with or without authorities. @throws InvalidArgumentError `EINVAL` */
export function checkCertificate(what: string, given: ClusterListenerTls): void {
  checkKeys(what, given, [...CERTIFICATE_KEYS, "ca"]);
  if (given.ca !== undefined) {
    checkPem(`${what}.ca`, given.ca, "CERTIFICATE-----");
    checkAuthorities(`${what}.ca`, given.ca);
  }
  checkUsable(what, given, given.ca);
}

/** The message omits the value, which may be a key. */
function checkPem(what: string, given: unknown, mark: string): void {
  if (typeof given !== "string" || !given.includes(mark))
    throw new InvalidArgumentError(`${what} must be PEM with -----BEGIN … ${mark}`);
}

function checkUsable(what: string, certificate: ClusterCertificate, ca: string | undefined): void {
  checkPem(`${what}.cert`, certificate.cert, "CERTIFICATE-----");
  checkPem(`${what}.key`, certificate.key, "PRIVATE KEY-----");
  const { passphrase } = certificate;
  if (passphrase !== undefined && typeof passphrase !== "string")
    throw new InvalidArgumentError(`${what}.passphrase must be a text`);
  try {
    contextOf(valuesOf(certificate, ca), "bind");
  } catch (error) {
    const reason = ((error as Error).cause as Error | undefined)?.message ?? (error as Error).message;
    // OpenSSL's messages begin with numbers and names of its parts.
    const text = reason.replace(/^error:[0-9A-F]+:[^:]*:[^:]*:/, "");
    const plain = text === "key values mismatch" ? "the key does not match the certificate" : text;
    throw new InvalidArgumentError(`${what} cannot be used: ${plain}`, { cause: error });
  }
}

function valuesOf(
  { cert, key, passphrase }: ClusterCertificate,
  ca: string | undefined,
  checkAddress = false,
): OptionValues {
  return optionValues({
    tlsCert: cert,
    tlsKey: key,
    tlsPassphrase: passphrase ?? null,
    tlsCa: ca ?? null,
    tlsCheckName: checkAddress,
    tlsMinVersion: "TLSv1.3",
  });
}

/** Current certificates, as options of the transport tls: new objects after each change. */
export class NodeTls {
  listening!: OptionValues;
  dialling!: OptionValues;

  constructor(options: ClusterTlsOptions) {
    this.set(options);
  }

  set(options: ClusterTlsOptions): void {
    this.listening = valuesOf(options, options.ca);
    this.dialling = valuesOf(options.dialling ?? options, options.ca, options.checkAddress);
  }
}
