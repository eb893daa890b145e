/**
 * The certificates of `shoal node start`, from files: `--tls-cert`, `--tls-key` and `--tls-ca`, and the keys `tls`, `listen` and
 * `clients.tls` of a configuration. What was read is remembered, so that a change of a file is noticed.
 */
import { X509Certificate } from "node:crypto";
import { resolve } from "node:path";
import type { ClusterListenerTls, ClusterTlsOptions } from "../cluster/index.js";
import { type NamedFileStates, readNamed, reasonOf, stateOfError } from "../config/file.js";
import type { Finding, Path } from "../config/problem.js";
import { describe, UsageError } from "./failure.js";
import type { Log } from "./log.js";
import { NotApplied, Reloads } from "./reloads.js";

/** Names of files, and what else goes with them, as a configuration has them. */
export interface TlsValues {
  readonly cert: string;
  readonly key: string;
  readonly passphrase?: string;
  readonly ca?: string;
  readonly dialling?: TlsValues;
  readonly checkAddress?: boolean;
}

/** Flags of `node start`. */
export interface TlsFlags {
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
}

/** Files in PEM, read once each. */
export class PemFiles {
  readonly #texts = new Map<string, string>();
  readonly #states: Record<string, string> = {};
  readonly #folder: string;

  /** @param folder that files are named from */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** What was in each, those that cannot be read included. */
  get states(): NamedFileStates {
    return this.#states;
  }

  /** @throws Error in words for one that cannot be read */
  async read(name: string): Promise<string> {
    const path = resolve(this.#folder, name);
    const known = this.#texts.get(path);
    if (known !== undefined) return known;
    try {
      const { text, state } = await readNamed(path);
      this.#texts.set(path, text);
      this.#states[path] = state;
      return text;
    } catch (error) {
      this.#states[path] = stateOfError(error);
      throw new Error(`cannot read the file ${path}: ${reasonOf(error)}`);
    }
  }
}

/** Why a certificate is of no use now; `undefined`: it is valid. */
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
 * The certificates of a part of a configuration, with a finding for each file that cannot be read or is of no use.
 *
 * @returns `undefined` where there is a finding
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

/** @returns `undefined` without such flags @throws UsageError */
export async function tlsOfFlags(flags: TlsFlags, files: PemFiles): Promise<ClusterTlsOptions | undefined> {
  const { tlsCert: cert, tlsKey: key, tlsCa: ca } = flags;
  if (cert === undefined && key === undefined && ca === undefined) return undefined;
  if (cert === undefined || key === undefined || ca === undefined)
    throw new UsageError("--tls-cert, --tls-key and --tls-ca go together: each node shows a certificate");
  return tlsOfNames({ cert, key, ca }, files, "--tls-");
}

/** @param prefix of the flags that name the files @throws UsageError */
export async function tlsOfNames<T extends ClusterListenerTls = ClusterTlsOptions>(
  names: TlsValues,
  files: PemFiles,
  prefix: string,
): Promise<T> {
  const findings: Finding[] = [];
  const options = await tlsFrom<T>(names, files, [], findings);
  if (options !== undefined) return options;
  throw new UsageError(
    findings.map(({ path, message }) => `${prefix}${path.join("-")}: ${message}`).join("; "),
  );
}

/**
 * Renews certificates that flags named, when their files change and on SIGHUP.
 *
 * @param file the first of them
 * @param renew reads them again and applies them
 */
export function renewalOf(file: string, log: Log, renew: (files: PemFiles) => Promise<void>): Reloads {
  return new Reloads(file, log, {
    apply: async () => {
      const files = new PemFiles(".");
      try {
        await renew(files);
      } catch (error) {
        throw new NotApplied(describe(error), files.states);
      }
      return { changed: "connections from now on have this certificate", files: files.states };
    },
    unchanged: "the node continues",
  });
}
