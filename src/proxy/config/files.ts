/** The files that a configuration names: certificates, and folders of keys. */
import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { type Certificate, readCertificate } from "../../sockets/security/certificate.js";
import type { Finding, Path } from "./problem.js";

/** Reads what a configuration names; one file is read once. */
export class NamedFiles {
  readonly findings: Finding[] = [];
  readonly #folder: string;
  readonly #certificates = new Map<string, Promise<Certificate>>();

  /** @param file the configuration: other files are named from its folder */
  constructor(file: string) {
    this.#folder = dirname(resolve(file));
  }

  /** The keys of a secret certificate, or `undefined` when it cannot be had. */
  async keys(path: Path, name: string): Promise<{ publicKey: string; secretKey: string } | undefined> {
    const file = this.whole(name);
    let reading = this.#certificates.get(file);
    if (reading === undefined) {
      reading = readCertificate(file);
      this.#certificates.set(file, reading);
    }
    try {
      const { publicKey, secretKey } = await reading;
      if (secretKey !== undefined) return { publicKey, secretKey };
      this.#found(path, `the certificate ${file} has no secret key; expected the secret file of the pair`);
    } catch (error) {
      this.#found(path, `cannot read the certificate ${file}: ${reason(error)}`);
    }
    return undefined;
  }

  /** Whether a folder is there. @returns its whole path */
  async folder(path: Path, name: string): Promise<string> {
    const folder = this.whole(name);
    try {
      if (!(await stat(folder)).isDirectory()) this.#found(path, `${folder} is no folder`);
    } catch (error) {
      this.#found(path, `cannot read the folder ${folder}: ${reason(error)}`);
    }
    return folder;
  }

  whole(name: string): string {
    return resolve(this.#folder, name);
  }

  #found(path: Path, message: string): void {
    this.findings.push({ path, message });
  }
}

/** What the system says, in words, without the path once more. */
export function reason(error: unknown): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return "there is none";
    case "EACCES":
      return "no permission";
    case "EISDIR":
      return "it is a folder";
    default:
      return error instanceof Error ? error.message : String(error);
  }
}
