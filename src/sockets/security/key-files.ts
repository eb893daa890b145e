/**
 *   NAME          a certificate (ZPL, as czmq, pyzmq and `shoal keygen` write it), or keys, one per line:
 *                 40 characters of Z85; empty lines, and lines that begin with "# ", are skipped
 *   NAME_secret   the client's own: not read, so that removing NAME revokes the key
 *   .NAME NAME~   files of editors and tools: not read
 */
import { isKey } from "../../core/z85.js";
import { parseCertificate } from "./certificate.js";

export type KeyFile = { readonly name: string } & (
  | { readonly text: string }
  | { readonly unreadable: string }
);

export interface FolderKeys {
  /** Z85. */
  readonly keys: ReadonlySet<string>;
  /** File names with their problems; never a key. */
  readonly problems: readonly string[];
}

export function isKeyFile(name: string): boolean {
  return !name.startsWith(".") && !name.endsWith("~") && !name.endsWith("_secret");
}

export function keysOf(files: readonly KeyFile[]): FolderKeys {
  const keys = new Set<string>();
  const problems: string[] = [];
  for (const file of files) {
    if ("unreadable" in file) {
      problems.push(`${file.name}: ${file.unreadable}`);
      continue;
    }
    const found = parseKeys(file.text);
    if (typeof found === "string") problems.push(`${file.name}: ${found}`);
    else for (const key of found) keys.add(key);
  }
  return { keys, problems };
}

export function parseKeys(text: string): readonly string[] | string {
  if (/^\s*(?:public|secret)-key\s*=/m.test(text)) {
    try {
      return [parseCertificate(text).publicKey];
    } catch (error) {
      return (error as Error).message;
    }
  }
  const keys: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const word = line.trim();
    if (word === "" || word === "#" || /^#\s/.test(word)) continue;
    if (!isKey(word))
      return `line ${index + 1}: expected a certificate, or a public key of 40 characters of Z85`;
    keys.push(word);
  }
  return keys.length > 0 ? keys : "it has no key";
}
