/** Certificate files that a node's configuration names. Their names are kept, to watch the files. */
import { X509Certificate } from "node:crypto";
import { resolve } from "node:path";
import type { ClusterListenerTls, ClusterTlsOptions } from "../cluster/index.js";
import { readNamed, reasonOf } from "../config/file.js";
import type { Finding, Path } from "../config/problem.js";

/** Names of files in a configuration. */
export interface TlsValues {
  readonly cert: string;
  readonly key: string;
  readonly passphrase?: string;
  readonly ca?: string;
  readonly dialling?: TlsValues;
  readonly checkAddress?: boolean;
}

/** PEM files, each read once. */
export class PemFiles {
  readonly #texts = new Map<string, Promise<string>>();
  readonly #folder: string;

  /** @param folder of relative file names */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Includes unreadable files. */
  get names(): readonly string[] {
    return [...this.#texts.keys()];
  }

  /** @throws Error for an unreadable file */
  async read(name: string): Promise<string> {
    const path = resolve(this.#folder, name);
    const text = this.#texts.get(path) ?? readNamed(path);
    this.#texts.set(path, text);
    return text.catch((error: unknown) => {
      throw new Error(`cannot read the file ${path}: ${reasonOf(error)}`);
    });
  }
}

/** Why a certificate is unusable now; `undefined`: it is valid. */
export function certificateFault(pem: string, now: number = Date.now()): string | undefined {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch {
    return "it is not a certificate in PEM";
  }
  const { validFrom, validTo } = certificate;
  if (Date.parse(validTo) < now) return `the certificate has expired: it was valid until ${validTo}`;
  if (Date.parse(validFrom) > now) return `the certificate is not valid before ${validFrom}`;
  return undefined;
}

/**
 * Reads certificates; each unusable file becomes a finding.
 *
 * @returns `undefined` after a finding
 */
export async function tlsFrom<T extends ClusterListenerTls = ClusterTlsOptions>(
  given: TlsValues,
  files: PemFiles,
  path: Path,
  findings: Finding[],
): Promise<T | undefined> {
  const before = findings.length;
  const read = async (name: string | undefined, at: Path): Promise<string | undefined> => {
    if (name === undefined) return undefined;
    try {
      return await files.read(name);
    } catch (error) {
      findings.push({ path: at, message: (error as Error).message });
      return undefined;
    }
  };
  const pair = async ({ cert, key, passphrase }: TlsValues, at: Path): Promise<object> => {
    const pem = await read(cert, [...at, "cert"]);
    const fault = pem === undefined ? undefined : certificateFault(pem);
    if (fault !== undefined) findings.push({ path: [...at, "cert"], message: fault });
    const text = await read(key, [...at, "key"]);
    return { cert: pem, key: text, ...(passphrase === undefined ? {} : { passphrase }) };
  };
  const { ca, dialling, checkAddress } = given;
  const authorities = await read(ca, [...path, "ca"]);
  const options = {
    ...(await pair(given, path)),
    ...(authorities === undefined ? {} : { ca: authorities }),
    ...(dialling === undefined ? {} : { dialling: await pair(dialling, [...path, "dialling"]) }),
    ...(checkAddress === undefined ? {} : { checkAddress }),
  };
  return findings.length > before ? undefined : (options as unknown as T);
}
