/** Endpoints that a connecting side can know before anybody binds them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { freePort } from "../support/ports.js";

export type Transport = "tcp" | "ipc" | "ws";

export class Endpoints {
  #folder: string | undefined;
  #count = 0;

  /** For one file of tests: its folder is removed after them. */
  constructor() {
    afterAll(() => {
      if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
    });
  }

  async free(transport: Transport): Promise<string> {
    if (transport === "ipc") {
      this.#folder ??= mkdtempSync(join(tmpdir(), "shoal-interop-"));
      return `ipc://${join(this.#folder, `s${++this.#count}`)}`;
    }
    return `${transport}://127.0.0.1:${await freePort()}`;
  }
}
