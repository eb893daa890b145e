/** The bare bytes of a connection: what goes out as the test says, what comes back in pieces of known length. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { World } from "../contract/support/world.js";
import { GREETING, hex } from "./wire.js";

export class RawWire {
  readonly socket: Socket;
  readonly closed: Promise<unknown>;
  #received = Buffer.alloc(0);
  #onData = (): void => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    // Not of node:events: that rejects where an error comes first.
    this.closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#onData();
    });
    socket.on("close", () => this.#onData());
  }

  /** @param endpoint a tcp endpoint as `lastEndpoint` gives it */
  static async connect(endpoint: string): Promise<RawWire> {
    const socket = connect(Number(endpoint.slice(endpoint.lastIndexOf(":") + 1)), "127.0.0.1");
    socket.setNoDelay(true);
    await once(socket, "connect");
    return new RawWire(socket);
  }

  /** At a socket that it binds; gone after the test. */
  static async at(world: World, socket: Parameters<World["bind"]>[0]): Promise<RawWire> {
    const peer = await RawWire.connect(await world.bind(socket));
    world.after(() => peer.destroy());
    return peer;
  }

  /** Writes hex at once. */
  write(bytes: string): void {
    this.socket.write(hex(bytes));
  }

  /** Writes hex, each byte in a packet of its own. */
  async trickle(bytes: string): Promise<void> {
    for (const byte of hex(bytes)) {
      await new Promise<unknown>((resolve) => this.socket.write(Buffer.of(byte), resolve));
      // The other end, in the same loop, reads it before the next goes out.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** The next bytes, as hex; fewer where the connection ends. */
  async read(count: number): Promise<string> {
    while (this.#received.length < count && !this.socket.closed) {
      await new Promise<void>((resolve) => {
        this.#onData = resolve;
      });
    }
    const bytes = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return bytes.toString("hex");
  }

  /** The next frame, as hex, header and all. */
  async readFrame(): Promise<string> {
    const flags = await this.read(1);
    const size = await this.read((Number.parseInt(flags, 16) & 2) === 0 ? 1 : 8);
    return flags + size + (await this.read(Number.parseInt(size, 16)));
  }

  /** Greets, and waits for the greeting and the first command of the other end. @returns the command */
  async greet(greeting = GREETING): Promise<string> {
    this.write(greeting);
    await this.read(64);
    return this.readFrame();
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** READY of a socket type without other properties, as hex. */
export function ready(socketType: string): string {
  const size = (6 + 12 + 4 + socketType.length).toString(16).padStart(2, "0");
  const value = `000000${socketType.length.toString(16).padStart(2, "0")}${Buffer.from(socketType).toString("hex")}`;
  return `04${size}0552454144590b536f636b65742d54797065${value}`;
}
