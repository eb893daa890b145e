/**
 * TLS beneath a node's streams: the certificates that it shows, and whose certificates it accepts. It comes first on a stream; the
 * cluster's key and the keys of nodes are proved within it.
 *
 *   TCP ──both ends show a certificate that `ca` signed──> TLS 1.3 ──hello, PROOF …──> as docs/spec/cluster.md has it
 *
 * Certificates are renewed by `set`: the transport reads the options again for each handshake.
 */
import { checkKeys, describe } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import type { OptionValues } from "../../core/option-table.js";
import { optionValues } from "../../core/option-values.js";
import { contextOf } from "../../engine/zmtp/transport/tls-context.js";

/** A certificate and its key. */
export interface ClusterCertificate {
  /** PEM: the certificate, with those that lead to its authority behind it. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** Of the key, where it is encrypted. */
  readonly passphrase?: string | undefined;
}

/** TLS of a node's streams; each node shows a certificate, whichever end dials. */
export interface ClusterTlsOptions extends ClusterCertificate {
  /** PEM: the authorities whose certificates are accepted. Each certificate of theirs is a node's: take one that is the cluster's own. */
  readonly ca: string;
  /** Shown in place of the certificate where this node dials. */
  readonly dialling?: ClusterCertificate | undefined;
  /** Whether a node that is dialled needs a certificate with its IP address. Default `false`. */
  readonly checkAddress?: boolean | undefined;
}

/** Of one listener; without `ca` that of the node. */
export interface ClusterListenerTls extends ClusterCertificate {
  readonly ca?: string | undefined;
}

const CERTIFICATE_KEYS = ["cert", "key", "passphrase"] as const;

/** @param what names the option @throws InvalidArgumentError `EINVAL`; never with a key in its message */
export function checkTls(what: string, given: ClusterTlsOptions): ClusterTlsOptions {
  checkKeys(what, given, [...CERTIFICATE_KEYS, "ca", "dialling", "checkAddress"]);
  const { dialling, checkAddress, ...own } = given;
  if (checkAddress !== undefined && typeof checkAddress !== "boolean")
    throw new InvalidArgumentError(`${what}.checkAddress is true or false; got ${describe(checkAddress)}`);
  const checked: ClusterTlsOptions = Object.freeze({
    ...own,
    ...(checkAddress === undefined ? {} : { checkAddress }),
    ...(dialling === undefined ? {} : { dialling: certificateOf(`${what}.dialling`, dialling) }),
  });
  checkPem(`${what}.ca`, given.ca, "CERTIFICATE-----");
  checkUsable(what, checked, checked.ca);
  if (checked.dialling !== undefined) checkUsable(`${what}.dialling`, checked.dialling, checked.ca);
  return checked;
}

/** @param ca of the node @throws InvalidArgumentError `EINVAL` */
export function checkListenerTls(given: ClusterListenerTls, ca: string | undefined): ClusterTlsOptions {
  checkKeys("listen.tls", given, [...CERTIFICATE_KEYS, "ca"]);
  const own = given.ca ?? ca;
  if (own === undefined)
    throw new InvalidArgumentError("listen.tls needs ca, where the node itself has no tls");
  return checkTls("listen.tls", { ...given, ca: own });
}

/** A certificate with or without authorities, of a server. @throws InvalidArgumentError `EINVAL` */
export function checkCertificate(what: string, given: ClusterListenerTls): void {
  checkKeys(what, given, [...CERTIFICATE_KEYS, "ca"]);
  if (given.ca !== undefined) checkPem(`${what}.ca`, given.ca, "CERTIFICATE-----");
  checkUsable(what, given, given.ca);
}

function certificateOf(what: string, given: ClusterCertificate): ClusterCertificate {
  checkKeys(what, given, CERTIFICATE_KEYS);
  return Object.freeze({ ...given });
}

/** What came is not in the message: it may be a key. */
function checkPem(what: string, given: unknown, mark: string): void {
  if (typeof given !== "string" || !given.includes(mark))
    throw new InvalidArgumentError(`${what} is PEM, with -----BEGIN … ${mark}`);
}

function checkUsable(what: string, certificate: ClusterCertificate, ca: string | undefined): void {
  checkPem(`${what}.cert`, certificate.cert, "CERTIFICATE-----");
  checkPem(`${what}.key`, certificate.key, "PRIVATE KEY-----");
  const { passphrase } = certificate;
  if (passphrase !== undefined && typeof passphrase !== "string")
    throw new InvalidArgumentError(`${what}.passphrase is a text`);
  try {
    contextOf(valuesOf(certificate, ca), "bind");
  } catch (error) {
    const reason = ((error as Error).cause as Error | undefined)?.message ?? (error as Error).message;
    // OpenSSL's texts begin with numbers and names of its parts.
    const text = reason.replace(/^error:[0-9A-F]+:[^:]*:[^:]*:/, "");
    const plain = text === "key values mismatch" ? "the key is not that of the certificate" : text;
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

function diallingOf(options: ClusterTlsOptions): OptionValues {
  return valuesOf(options.dialling ?? options, options.ca, options.checkAddress);
}

/** Certificates as they are now, as options of the transport tls. */
export class NodeTls {
  #listening: OptionValues;
  #dialling: OptionValues;

  /** @param options checked */
  constructor(options: ClusterTlsOptions) {
    this.#listening = valuesOf(options, options.ca);
    this.#dialling = diallingOf(options);
  }

  /** For streams from now on. */
  set(options: ClusterTlsOptions): void {
    this.#listening = valuesOf(options, options.ca);
    this.#dialling = diallingOf(options);
  }

  /** Where this node accepts streams; another object after each change. */
  get listening(): OptionValues {
    return this.#listening;
  }

  /** Where it dials. */
  get dialling(): OptionValues {
    return this.#dialling;
  }
}
