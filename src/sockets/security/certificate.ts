/**
 * CURVE certificate files in ZPL (4/ZPL), as czmq's zcert and pyzmq write them.
 *
 *   #   comment
 *   metadata
 *       name = "value"
 *   curve
 *       public-key = "40 characters of Z85"
 *       secret-key = "40 characters of Z85"      in the secret file only
 */
import { invalidArgument, quoted } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { isKey } from "../../core/z85.js";
import { curvePublicKey } from "./curve-keys.js";

/** A CURVE key or key pair with metadata. */
export interface Certificate {
  /** 40 characters of Z85. */
  readonly publicKey: string;
  /** 40 characters of Z85; absent in a public certificate. */
  readonly secretKey?: string;
  /** Text by name. Names have no spaces or `=`, values no line breaks or double quotes. */
  readonly metadata: Readonly<Record<string, string>>;
}

export const MAX_FILE = 65_536;

/** @throws InvalidArgumentError `EINVAL` with the invalid line, never the key */
export function parseCertificate(text: string): Certificate {
  if (typeof text !== "string") throw invalidArgument("A certificate must be a text", text);
  const metadata: Record<string, string> = Object.create(null);
  const keys: { publicKey?: string; secretKey?: string } = {};
  let section = "";
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(#[\s\S]*)?$/.test(line)) continue;
    const heading = /^([A-Za-z0-9_.$@+/-]+)\s*(#[\s\S]*)?$/.exec(line);
    if (heading !== null) {
      section = heading[1] as string;
      continue;
    }
    const property =
      /^\s+([A-Za-z0-9_.$@+/-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'#][^#]*)?)\s*(#[\s\S]*)?$/.exec(line);
    if (property === null)
      throw new InvalidArgumentError(
        `Certificate line ${index + 1}: expected name = "value" or a section's name`,
      );
    const name = property[1] as string;
    const value = property[2] ?? property[3] ?? (property[4] ?? "").trimEnd();
    if (section === "metadata") metadata[name] = value;
    else if (section === "curve" && name === "public-key") keys.publicKey = key(value, index);
    else if (section === "curve" && name === "secret-key") keys.secretKey = key(value, index);
  }
  const publicKey =
    keys.publicKey ?? (keys.secretKey === undefined ? undefined : curvePublicKey(keys.secretKey));
  if (publicKey === undefined) throw new InvalidArgumentError("The certificate has no curve/public-key");
  return { publicKey, ...(keys.secretKey === undefined ? {} : { secretKey: keys.secretKey }), metadata };
}

function key(value: string, index: number): string {
  if (!isKey(value))
    throw new InvalidArgumentError(`Certificate line ${index + 1}: a key has 40 characters of Z85`);
  return value;
}

/**
 * Formats a certificate file; only `secret` includes the secret key.
 *
 * @throws InvalidArgumentError `EINVAL` for invalid keys, or unreadable metadata
 */
export function formatCertificate(certificate: Certificate, secret: boolean): string {
  if (typeof certificate?.metadata !== "object" || certificate.metadata === null)
    throw invalidArgument("A certificate must be an object with publicKey and metadata", certificate);
  if (!isKey(certificate.publicKey))
    throw invalidArgument(
      "The certificate's public key must have 40 characters of Z85",
      certificate.publicKey,
    );
  const lines = [
    `#   ZeroMQ CURVE ${secret ? "**Secret** Certificate" : "Public Certificate"}`,
    secret
      ? "#   DO NOT PROVIDE THIS FILE TO OTHER USERS nor change its permissions."
      : "#   Exchange it over a way that nobody can tamper with.",
    "",
    "metadata",
  ];
  for (const [name, value] of Object.entries(certificate.metadata)) {
    if (!/^[A-Za-z0-9_.$@+/-]+$/.test(name) || typeof value !== "string" || /["\r\n]/.test(value)) {
      throw new InvalidArgumentError(`Certificate metadata ${quoted(name)} cannot be written`);
    }
    lines.push(`    ${name} = "${value}"`);
  }
  lines.push("curve", `    public-key = "${certificate.publicKey}"`);
  if (secret) {
    if (certificate.secretKey === undefined)
      throw new InvalidArgumentError("The certificate has no secret key to write");
    if (!isKey(certificate.secretKey))
      throw new InvalidArgumentError("The certificate's secret key must have 40 characters of Z85");
    lines.push(`    secret-key = "${certificate.secretKey}"`);
  }
  return `${lines.join("\n")}\n`;
}

/** Pipes given to the process, such as a shell's `<(…)`, have a writer or have ended. */
const GIVEN_PIPE = /^\/(?:dev\/(?:fd\/|stdin$)|proc\/)/;

/**
 * Reads a certificate file of any ZeroMQ tool; refuses a named pipe, which would wait for a writer.
 *
 * @throws InvalidArgumentError `EINVAL`; the file system's errors
 */
export async function readCertificate(path: string): Promise<Certificate> {
  checkPath(path);
  const { readFile, stat } = process.getBuiltinModule("node:fs/promises");
  const found = await stat(path);
  if (found.isFIFO() && !GIVEN_PIPE.test(path))
    throw new InvalidArgumentError(`${path} is a pipe; expected a file`);
  if (found.size > MAX_FILE) throw new InvalidArgumentError(`${path} is too large for a certificate`);
  return parseCertificate(await readFile(path, "utf8"));
}

/**
 * Writes `NAME` (public) and `NAME_secret` (both keys, readable only by the owner), as czmq does. Files are replaced as
 * a whole.
 *
 * @throws as {@link formatCertificate}; the file system's errors
 */
export async function writeCertificate(
  name: string,
  certificate: Certificate,
): Promise<{ publicFile: string; secretFile: string }> {
  checkPath(name);
  const secretFile = `${name}_secret`;
  await replace(secretFile, formatCertificate(certificate, true), 0o600);
  await replace(name, formatCertificate(certificate, false), 0o644);
  return { publicFile: name, secretFile };
}

/** @throws InvalidArgumentError `EINVAL` */
function checkPath(path: unknown): void {
  if (typeof path !== "string" || path === "" || path.includes("\0"))
    throw invalidArgument("A certificate's file must be a path", path);
}

async function replace(path: string, text: string, mode: number): Promise<void> {
  const { chmod, open, rename, rm } = process.getBuiltinModule("node:fs/promises");
  const { randomUUID } = process.getBuiltinModule("node:crypto");
  const temporary = `${path}.${randomUUID()}`;
  try {
    const file = await open(temporary, "wx", mode);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(temporary, mode);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
