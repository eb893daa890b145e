/** What tests of hostile peers share: a good peer next to them, and a look at this process. */
import { expect } from "vitest";
import type { Pull } from "../../../../src/index.js";
import { collect } from "../../../contract/support/wait.js";
import { World } from "../../../contract/support/world.js";
import { collectGarbage } from "../../../support/collect-garbage.js";

export const MIB = 1_048_576;

/** Make one for a file of tests. */
export class HostileWorld extends World {
  constructor() {
    super("zmtp", "tcp");
  }

  /** Binds for a peer that behaves. @returns where, and a way to see that it is served */
  async good(pull: Pull): Promise<{ endpoint: string; works(): Promise<void> }> {
    const push = this.push();
    const endpoint = await this.link(pull, push);
    let sent = 0;
    const works = async (): Promise<void> => {
      sent += 1;
      await push.send(`good ${sent}`);
      expect(await collect(pull, 1)).toEqual([`good ${sent}`]);
    };
    await works();
    return { endpoint, works };
  }
}

/** Bytes in use, without what nobody holds any more. */
export function memory(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Settles when what is read has stood still for a while. @returns it */
export async function quiet(read: () => number): Promise<number> {
  for (let last = -1, same = 0; same < 15; ) {
    const now = read();
    same = now === last ? same + 1 : 0;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return read();
}
