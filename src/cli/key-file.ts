/** The file of a cluster's key: one line of 40 Z85 characters, which only its owner may read. */
import { open } from "node:fs/promises";
import { describe, UsageError } from "./failure.js";

const KEY = /^[0-9A-Za-z.\-:+=^!/*?&<>()[\]{}@%$#]{40}\r?\n?$/;
/** Bytes of the longest valid file, and one more. */
const MAX_READ = 43;
/** The permissions of a group and of others. */
const OTHERS = 0o077;

/** @returns the key @throws UsageError that names the file and the rule it breaks, never what is in it */
export async function readKeyFile(file: string): Promise<string> {
  let text: string;
  try {
    const handle = await open(file, "r");
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw new UsageError(`the key file ${file} is not a regular file`);
      if (process.platform !== "win32" && (stat.mode & OTHERS) !== 0)
        throw new UsageError(
          `the key file ${file} can be read by others (mode ${(stat.mode & 0o777).toString(8)}); expected its owner only: chmod 600`,
        );
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_READ), 0, MAX_READ, 0);
      text = buffer.toString("latin1", 0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw error instanceof UsageError
      ? error
      : new UsageError(`cannot read the key file ${file}: ${describe(error)}`);
  }
  if (!KEY.test(text)) throw new UsageError(`the key file ${file} is not one line of 40 Z85 characters`);
  return text.slice(0, 40);
}
