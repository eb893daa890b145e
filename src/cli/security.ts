/**
 * Security of commands: the options --plain, --curve-…, --tls-… and --ws-origin, and files with secrets, readable by
 * their owner only: a cluster key, a password, users.
 */

import { isUtf8 } from "node:buffer";
import { constants } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { defined } from "../core/arguments.js";
import { isKey } from "../core/z85.js";
import { type Authenticate, type CommonOptions, curveKeyPair, readCertificate } from "../index.js";
import { plainUsers } from "../sockets/security/plain-users.js";
import { describe, Failure, UsageError } from "./failure.js";

/** Maximum bytes, and one more. */
const MAX_KEY_READ = 43;
const MAX_PASSWORD_READ = 1_027;
const MAX_USERS_READ = 1_048_576;
/** Permissions of group and others. */
const OTHERS = 0o077;

export interface SecuritySettings {
  /** USER:PASSWORD */
  readonly plain?: string | undefined;
  /** Z85 */
  readonly curveServerKey?: string | undefined;
  readonly curveCertificate?: string | undefined;
  /** Names of PEM files. */
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly tlsCa?: string | undefined;
  /** Origins of pages, or `*`. */
  readonly wsOrigin?: readonly string[] | undefined;
}

export type SecurityOptions = Pick<
  CommonOptions,
  | "plainServer"
  | "plainUsername"
  | "plainPassword"
  | "curveServer"
  | "curvePublicKey"
  | "curveSecretKey"
  | "curveServerKey"
  | "tlsCert"
  | "tlsKey"
  | "tlsCa"
  | "wsOrigins"
> & { readonly authenticate?: Authenticate };

/** An end that binds is the server of PLAIN. */
interface Ends {
  readonly bind?: readonly string[];
  readonly connect?: readonly string[];
}

/** Options of the other end are left out. */
type End = "bind" | "connect" | "both";

const HELP: Readonly<Record<"tlsCa" | "plain" | "certificate", Readonly<Record<End, string>>>> = {
  tlsCa: {
    bind: "authorities, in PEM: peers need a certificate of theirs",
    connect: "authorities, in PEM, which are trusted in place of the system's",
    both: "authorities, in PEM: with --bind, peers need a certificate of theirs; with --connect, they are trusted in place of the system's",
  },
  plain: {
    bind: ", as the server",
    connect: ", as a client",
    both: ": server if it binds, client if it connects",
  },
  certificate: {
    bind: ", of the server, from the secret file",
    connect: ", of the client, from the secret file (default: new keys)",
    both: ", from the secret file; a server unless a server key is given",
  },
};

/** @param prefix of the options' names, such as `frontend-` */
export function addSecurityOptions(command: Command, end: End = "both", prefix = ""): Command {
  const side = prefix === "" ? "" : ` of the ${prefix.slice(0, -1)}`;
  command
    .option(`--${prefix}tls-cert <FILE>`, `certificate${side} for tls:// endpoints, in PEM`)
    .option(`--${prefix}tls-key <FILE>`, "its private key, in PEM")
    .option(`--${prefix}tls-ca <FILE>`, HELP.tlsCa[end])
    .option(`--${prefix}plain <USER:PASSWORD>`, `PLAIN security${side}${HELP.plain[end]}`)
    .option(`--${prefix}curve-certificate <FILE>`, `CURVE keys${side}${HELP.certificate[end]}`);
  if (end !== "bind")
    command.option(
      `--${prefix}curve-server-key <KEY>`,
      `CURVE security${side}, as a client of the server with this public key (Z85)`,
      publicKey,
    );
  if (end !== "connect")
    command.addOption(
      new Option(
        `--${prefix}ws-origin <ORIGIN>`,
        "let pages of ORIGIN connect to ws:// and wss:// endpoints, or of all with * (repeatable; default: the host's own pages)",
      ).argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), origin(text)]),
    );
  return command;
}

/** @throws InvalidArgumentError for what no browser sends */
function origin(text: string): string {
  if (/^(?:\*|null|[a-z][a-z0-9+.-]*:\/\/[^\s,/]+)$/i.test(text)) return text;
  throw new InvalidArgumentError("Expected an origin such as https://example.com, without a path, or *.");
}

export function publicKey(text: string): string {
  if (isKey(text)) return text;
  throw new InvalidArgumentError("Expected a public key, 40 characters of Z85.");
}

/** Checks the combination before anything is read. @param prefix of the options' names @throws UsageError */
function checkSecurity(settings: SecuritySettings, { bind = [], connect = [] }: Ends, prefix = ""): void {
  const { plain, curveServerKey, curveCertificate, tlsCert, tlsKey, wsOrigin } = settings;
  if ((tlsCert === undefined) !== (tlsKey === undefined))
    throw new UsageError(`--${prefix}tls-cert and --${prefix}tls-key go together`);
  const secure = tlsCert === undefined ? bind.find((each) => /^(?:tls|wss):/.test(each)) : undefined;
  if (secure !== undefined)
    throw new UsageError(`${secure} needs --${prefix}tls-cert FILE and --${prefix}tls-key FILE`);
  if (wsOrigin !== undefined && !bind.some((each) => /^wss?:/.test(each)))
    throw new UsageError(
      `--${prefix}ws-origin is for ws:// and wss:// endpoints that it binds; expected one`,
    );
  const option = `--${prefix}plain`;
  if (plain === undefined) return;
  userAndPassword(plain, option);
  if (curveServerKey !== undefined || curveCertificate !== undefined)
    throw new UsageError(`${option} and the CURVE options exclude each other`);
  if (bind.length > 0 && connect.length > 0)
    throw new UsageError(
      `${option} is for a server that binds or a client that connects; expected one of them`,
    );
}

/** @throws UsageError; Failure for a certificate that is unreadable or has no secret key */
export async function securityOptions(
  settings: SecuritySettings,
  ends: Ends,
  prefix = "",
): Promise<SecurityOptions> {
  checkSecurity(settings, ends, prefix);
  const { wsOrigin } = settings;
  return {
    ...(await tlsOptions(settings)),
    ...(wsOrigin === undefined ? {} : { wsOrigins: wsOrigin.join(" ") }),
    ...(await mechanismOptions(settings, ends, prefix)),
  };
}

async function tlsOptions({ tlsCert, tlsKey, tlsCa }: SecuritySettings): Promise<SecurityOptions> {
  const files = Object.entries({ tlsCert, tlsKey, tlsCa }).filter(([, file]) => file !== undefined);
  const read = async ([name, file]: [string, string | undefined]): Promise<[string, string]> => {
    try {
      return [name, await readFile(file as string, "latin1")];
    } catch (error) {
      throw new Failure(`cannot read ${file}: ${describe(error)}`);
    }
  };
  return Object.fromEntries(await Promise.all(files.map(read)));
}

async function mechanismOptions(
  settings: SecuritySettings,
  ends: Ends,
  prefix: string,
): Promise<SecurityOptions> {
  const { plain, curveServerKey, curveCertificate } = settings;
  if (plain !== undefined) {
    const { username, password } = userAndPassword(plain, `--${prefix}plain`);
    return (ends.bind ?? []).length > 0
      ? { plainServer: true, authenticate: plainUsers({ [username]: password }) }
      : { plainUsername: username, plainPassword: password };
  }
  if (curveServerKey === undefined)
    return curveCertificate === undefined ? {} : serverKeysFrom(curveCertificate);
  const own = curveCertificate === undefined ? curveKeyPair() : await keysFrom(curveCertificate);
  return { curveServerKey, curvePublicKey: own.publicKey, curveSecretKey: own.secretKey };
}

export async function serverKeysFrom(
  file: string,
): Promise<{ curveServer: true; curvePublicKey: string; curveSecretKey: string }> {
  const { publicKey, secretKey } = await keysFrom(file);
  return { curveServer: true, curvePublicKey: publicKey, curveSecretKey: secretKey };
}

/** For a command that only connects: a certificate alone has no use there. */
export async function clientSecurityOptions(settings: SecuritySettings): Promise<SecurityOptions> {
  if (settings.curveCertificate !== undefined && settings.curveServerKey === undefined)
    throw new UsageError("--curve-certificate needs --curve-server-key, the key of the server to connect to");
  return securityOptions(settings, {});
}

/** Options of a client of a server with the options `server`, with the server's own keys. */
export function clientOf(server: SecurityOptions, { plain }: SecuritySettings): SecurityOptions {
  const { tlsCert, tlsKey, tlsCa, curveServer, curvePublicKey, curveSecretKey } = server;
  const tls = defined({ tlsCert, tlsKey, tlsCa });
  if (plain !== undefined) {
    const { username, password } = userAndPassword(plain, "--plain");
    return { ...tls, plainUsername: username, plainPassword: password };
  }
  if (curveServer !== true || curvePublicKey === undefined || curveSecretKey === undefined) return tls;
  return { ...tls, curveServerKey: curvePublicKey, curvePublicKey, curveSecretKey };
}

/** Commander's parser would repeat the password in its error. */
function userAndPassword(
  text: string,
  option: string,
): { readonly username: string; readonly password: string } {
  const colon = text.indexOf(":");
  if (colon > 0) return { username: text.slice(0, colon), password: text.slice(colon + 1) };
  throw new UsageError(`${option} expects a user name, a colon and a password`);
}

/** @throws Failure for an unreadable one */
export function certificateOf(file: string): ReturnType<typeof readCertificate> {
  return readCertificate(file).catch((error: unknown) => {
    throw new Failure(`cannot read the certificate ${file}: ${describe(error)}`);
  });
}

/** @throws Failure for a certificate that is unreadable or has no secret key */
export async function keysFrom(file: string): Promise<{ publicKey: string; secretKey: string }> {
  const { publicKey, secretKey } = await certificateOf(file);
  if (secretKey === undefined) {
    throw new Failure(`the certificate ${file} has no secret key; expected the secret file of the pair`);
  }
  return { publicKey, secretKey };
}

/** @throws UsageError with the file and the broken rule, never with the content */
export async function readKeyFile(file: string): Promise<string> {
  const key = (await readSecret("key", file, MAX_KEY_READ)).toString("latin1").replace(/\r?\n$/, "");
  if (!isKey(key)) throw new UsageError(`the key file ${file} is not one line of 40 Z85 characters`);
  return key;
}

export async function readPasswordFile(
  file: string,
  what: "password" | "token" = "password",
): Promise<string> {
  const bytes = await readSecret(what, file, MAX_PASSWORD_READ);
  const text = bytes.toString("utf8").replace(/\r?\n$/, "");
  const length = Buffer.byteLength(text);
  if (!isUtf8(bytes) || /\p{Cc}/u.test(text) || length < 8 || length > 1_024)
    throw new UsageError(`the ${what} file ${file} is not one line of 8 to 1,024 bytes of UTF-8`);
  return text;
}

/** @returns passwords, or their hashes, by user: lines `NAME:PASSWORD`, without empty ones and those with # */
export async function readUsersFile(file: string): Promise<Record<string, string>> {
  const bytes = await readSecret("users", file, MAX_USERS_READ + 1);
  if (bytes.length > MAX_USERS_READ)
    throw new UsageError(`the users file ${file} has more than ${MAX_USERS_READ} bytes`);
  if (!isUtf8(bytes)) throw new UsageError(`the users file ${file} is not UTF-8`);
  const users = new Map<string, string>();
  for (const [at, line] of bytes.toString("utf8").split(/\r?\n/).entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    if (colon < 1 || colon === line.length - 1)
      throw new UsageError(`the users file ${file}, line ${at + 1}: expected NAME:PASSWORD`);
    const name = line.slice(0, colon);
    if (users.has(name)) throw new UsageError(`the users file ${file}, line ${at + 1}: a second ${name}`);
    users.set(name, line.slice(colon + 1));
  }
  if (users.size === 0) throw new UsageError(`the users file ${file} has no user`);
  return Object.fromEntries(users);
}

async function readSecret(what: string, file: string, most: number): Promise<Buffer> {
  try {
    // Opening a pipe without a writer would block, whatever the signal.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw new UsageError(`the ${what} file ${file} is not a regular file`);
      if (process.platform !== "win32" && (stat.mode & OTHERS) !== 0)
        throw new UsageError(
          `the ${what} file ${file} can be read by others (mode ${(stat.mode & 0o777).toString(8)}); expected its owner only: chmod 600`,
        );
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(most), 0, most, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw error instanceof UsageError
      ? error
      : new UsageError(`cannot read the ${what} file ${file}: ${describe(error)}`);
  }
}
