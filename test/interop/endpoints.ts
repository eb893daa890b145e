/** Endpoints that a connecting side can know before anybody binds them. */
import { join } from "node:path";
import { sharedFolder } from "../support/folders.js";
import { freePort } from "../support/ports.js";

export type Transport = "tcp" | "ipc" | "ws";

export class Endpoints {
  /** For one file of tests. */
  readonly #folder = sharedFolder();
  #count = 0;

  async free(transport: Transport): Promise<string> {
    if (transport === "ipc") return `ipc://${join(this.#folder, `s${++this.#count}`)}`;
    return `${transport}://127.0.0.1:${await freePort()}`;
  }
}
