/** The links of a clone in a simulation: they keep their order, and lose nothing but what was on its way when they ended. */
import type { World } from "./world.js";

export const HEARTBEAT = 200;
export const MAX_DELAY = 20;

/** One link between a client and a server, or between the servers. */
export class Connection {
  alive = true;
  queued = 0;
  #arrival = 0;
  readonly id: Buffer;

  constructor(
    readonly world: World,
    readonly subtree: string,
    /** To the end that connected. */
    readonly receive: (kind: "snapshot" | "update" | "link", frames: Buffer[]) => void,
    readonly ended: () => void,
    number: number,
  ) {
    this.id = Buffer.from(`c${number}`);
  }

  send(deliver: () => void): void {
    const { simulation } = this.world;
    if (!this.alive) return;
    this.#arrival = Math.max(this.#arrival, simulation.now + simulation.random.next() * MAX_DELAY);
    this.queued += 1;
    simulation.at(this.#arrival, () => {
      this.queued -= 1;
      if (this.alive) deliver();
    });
  }

  end(): void {
    if (!this.alive) return;
    this.alive = false;
    this.world.simulation.after(this.world.simulation.random.integer(1, 30), this.ended);
  }
}
