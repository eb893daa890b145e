/** Starts the Guide's programs, as programs/stars.py has them, where pyzmq is. */
import { fileURLToPath } from "node:url";
import { NO_PYTHON } from "../../interop/python-peer.js";
import { Child } from "../../process/child.js";
import { peerAt } from "../../support/peers.js";

export { NO_PYTHON };

const PROGRAM = fileURLToPath(new URL("programs/stars.py", import.meta.url));
/** ms after which a program is ended, whatever it does. */
const LIMIT = 30_000;

export class GuideProgram extends Child {
  constructor(...args: string[]) {
    super(peerAt("pyzmq"), ["-u", PROGRAM, ...args], { limit: LIMIT });
  }

  /** Ends it as its user would; safe to call twice. */
  async close(): Promise<void> {
    await this.kill();
  }
}
