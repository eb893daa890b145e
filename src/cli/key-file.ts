/** Files with secrets, readable by their owner only: a cluster key, a password, users. */
import { isUtf8 } from "node:buffer";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { describe, UsageError } from "./failure.js";

const KEY = /^[0-9A-Za-z.\-:+=^!/*?&<>()[\]{}@%$#]{40}\r?\n?$/;
/** Maximum bytes, and one more. */
const MAX_KEY_READ = 43;
const MAX_PASSWORD_READ = 1_027;
const MAX_USERS_READ = 1_048_576;
/** Permissions of group and others. */
const OTHERS = 0o077;

/** @throws UsageError with the file and the broken rule, never with the content */
export async function readKeyFile(file: string): Promise<string> {
  const text = (await readSecret("key", file, MAX_KEY_READ)).toString("latin1");
  if (!KEY.test(text)) throw new UsageError(`the key file ${file} is not one line of 40 Z85 characters`);
  return text.slice(0, 40);
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
