/** Files that a configuration names. An unreadable one is a finding. */
import { resolve } from "node:path";
import { type Finding, type Path, readNamed, reasonOf } from "./file.js";

export class NamedFiles {
  readonly findings: Finding[];
  readonly #folder: string;

  /** @param folder of relative names @param findings gets those of the files */
  constructor(folder: string, findings: Finding[] = []) {
    this.#folder = folder;
    this.findings = findings;
  }

  resolve(name: string): string {
    return resolve(this.#folder, name);
  }

  found(path: Path, message: string): void {
    this.findings.push({ path, message });
  }

  /** The result of an action; its error is a finding, and the result `undefined`. */
  async attempt<T>(path: Path, action: () => T | Promise<T>): Promise<T | undefined> {
    try {
      return await action();
    } catch (error) {
      this.found(path, (error as Error).message);
      return undefined;
    }
  }

  /** Texts of PEM files, without unreadable ones. @param names of files by key */
  async pems<N extends "cert" | "key" | "ca">(
    path: Path,
    names: { readonly [K in N]?: string },
    keys: readonly N[],
  ): Promise<{ [K in N]?: string }> {
    const texts: { [K in N]?: string } = {};
    for (const key of keys) {
      const name = names[key];
      if (name === undefined) continue;
      const file = this.resolve(name);
      try {
        const text = await readNamed(file);
        if (text.includes("-----BEGIN ")) texts[key] = text;
        else this.found([...path, key], `${file} is not in PEM`);
      } catch (error) {
        this.found([...path, key], `cannot read ${file}: ${reasonOf(error)}`);
      }
    }
    return texts;
  }
}
