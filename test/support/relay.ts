/**
 * A TCP relay that a test puts between two peers, to cut the link, to swallow or change what
 * goes over it, and to see how much that was.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { portOf } from "./ports.js";

/** "up": from the side that connected; "down": to it. */
export type Direction = "up" | "down";

export class Relay {
  readonly #server: Server;
  readonly #links = new Set<Socket>();
  readonly #port: number;
  /** Bytes that a link may pass before it is cut, of those that are to be cut. */
  readonly #limits: Record<Direction, number[]> = { up: [], down: [] };
  /** Bytes of the last link. */
  readonly passed = { up: 0, down: 0 };
  /** Links so far. */
  links = 0;
  /** Cuts so far that a limit made. */
  cuts = 0;
  /** What goes on of a chunk that came. */
  change: (chunk: Buffer, direction: Direction) => Buffer = (chunk) => chunk;
  #swallows = false;

  private constructor(port: number) {
    this.#port = port;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** @param target the endpoint behind it */
  static async to(target: string): Promise<Relay> {
    const relay = new Relay(portOf(target));
    await new Promise<void>((resolve) => relay.#server.listen(0, "127.0.0.1", resolve));
    return relay;
  }

  get endpoint(): string {
    return `tcp://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The next links pass so many bytes in one direction and are cut there, one after the other. */
  cutAfter(direction: Direction, ...bytes: number[]): void {
    this.#limits[direction] = bytes;
  }

  /** Cuts what stands now. */
  cut(): void {
    for (const socket of this.#links) socket.resetAndDestroy();
  }

  /** Whether bytes vanish, in both directions, and the links stand. */
  blackHole(on: boolean): void {
    this.#swallows = on;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(near: Socket): void {
    const far = connect(this.#port, "127.0.0.1");
    this.links += 1;
    this.passed.up = 0;
    this.passed.down = 0;
    let isOver = false;
    const over = (): void => {
      near.resetAndDestroy();
      far.resetAndDestroy();
    };
    const pass = (from: Socket, to: Socket, direction: Direction): void => {
      this.#links.add(from);
      from.setNoDelay(true);
      from.on("error", () => undefined);
      from.on("close", () => {
        this.#links.delete(from);
        // A black hole swallows the end, too; `cut` ends what is left.
        if (!this.#swallows) to.destroy();
      });
      let passed = 0;
      const cut = (): void => {
        this.#limits[direction].shift();
        this.cuts += 1;
        over();
      };
      from.on("data", (bytes: Buffer) => {
        if (this.#swallows || from.destroyed || isOver) return;
        const chunk = this.change(bytes, direction);
        const rest = Math.max(0, (this.#limits[direction][0] ?? Number.POSITIVE_INFINITY) - passed);
        const part = chunk.length > rest ? chunk.subarray(0, rest) : chunk;
        passed += part.length;
        this.passed[direction] = passed;
        if (part.length >= rest) {
          isOver = true;
          to.write(part, cut); // The last byte goes out before the link is cut.
        } else if (!to.write(part)) {
          from.pause();
          to.once("drain", () => from.resume());
        }
      });
    };
    pass(near, far, "up");
    pass(far, near, "down");
  }
}
