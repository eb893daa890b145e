/** Certificates that a node's configuration names. */
import { X509Certificate } from "node:crypto";
import type { ClusterListenerTls, ClusterTlsOptions } from "../cluster/index.js";
import type { NamedFiles, Path } from "../config/file.js";
import { defined } from "../core/arguments.js";

export interface TlsValues {
  readonly cert: string;
  readonly key: string;
  readonly passphrase?: string;
  readonly ca?: string;
  readonly dialling?: TlsValues;
  readonly checkAddress?: boolean;
}

/** Why a certificate is unusable now; `undefined`: it is valid. */
function certificateFault(pem: string, now: number = Date.now()): string | undefined {
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

/** Reads certificates; each unusable file becomes a finding. @returns `undefined` after one */
export async function tlsFrom<T extends ClusterListenerTls = ClusterTlsOptions>(
  { dialling, checkAddress, ...own }: TlsValues,
  files: NamedFiles,
  path: Path,
): Promise<T | undefined> {
  const before = files.findings.length;
  const pair = async ({ passphrase, ...names }: TlsValues, at: Path): Promise<object> => {
    const pems = await files.pems(at, names, ["cert", "key", "ca"]);
    const fault = pems.cert === undefined ? undefined : certificateFault(pems.cert);
    if (fault !== undefined) files.found([...at, "cert"], fault);
    return { ...pems, ...defined({ passphrase }) };
  };
  const options = {
    ...(await pair(own, path)),
    ...defined({ dialling: dialling && (await pair(dialling, [...path, "dialling"])), checkAddress }),
  };
  return files.findings.length > before ? undefined : (options as unknown as T);
}
