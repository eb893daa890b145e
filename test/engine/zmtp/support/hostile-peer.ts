/** A connection of bare bytes to a tcp endpoint, for peers that do what no library does. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { greeting, ready } from "../../../contract/support/zmtp-peer.js";

export function portOf(endpoint: string): number {
  return Number(endpoint.slice(endpoint.lastIndexOf(":") + 1));
}

/** A command as a whole frame. */
export function command(name: string, data: Uint8Array | string = ""): Buffer {
  const body = Buffer.concat([Buffer.of(name.length), Buffer.from(name), Buffer.from(data as string)]);
  if (body.length <= 255) return Buffer.concat([Buffer.of(0x04, body.length), body]);
  const head = Buffer.alloc(9, 0x06);
  head.writeBigUInt64BE(BigInt(body.length), 1);
  return Buffer.concat([head, body]);
}

export class HostilePeer {
  readonly socket: Socket;
  /** The connection is gone, however. */
  readonly closed: Promise<void>;
  #received = 0;
  #heard: (() => void) | undefined;

  private constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("error", () => undefined);
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
    this.socket.once("close", () => this.#heard?.());
  }

  static async connect(endpoint: string): Promise<HostilePeer> {
    const peer = new HostilePeer(portOf(endpoint));
    await Promise.race([once(peer.socket, "connect"), peer.closed]);
    return peer;
  }

  /** Reads from now on, and counts. */
  listen(): this {
    if (this.socket.listenerCount("data") === 0) {
      this.socket.on("data", (chunk: Buffer) => {
        this.#received += chunk.length;
        this.#heard?.();
      });
    }
    return this;
  }

  write(...pieces: Buffer[]): boolean {
    return this.socket.destroyed || this.socket.write(Buffer.concat(pieces));
  }

  /** Settles when so many bytes have come in all, or the connection is gone. */
  async heard(bytes: number): Promise<void> {
    this.listen();
    while (this.#received < bytes && !this.socket.destroyed) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
  }

  /** Greeting and READY, each when it is due; it reads until it is paused. */
  async handshake(socketType: string): Promise<void> {
    this.write(greeting());
    await this.heard(64);
    this.write(ready(socketType));
  }

  /** Writes all of it, at the pace of the kernel. @returns how often, fewer when the connection ended */
  async flood(chunk: Buffer, times: number): Promise<number> {
    const { socket } = this;
    for (let written = 0; written < times; written++) {
      if (socket.destroyed) return written;
      if (socket.write(chunk)) continue;
      await Promise.race([once(socket, "drain").catch(() => undefined), this.closed]);
    }
    return times;
  }

  destroy(): void {
    this.socket.destroy();
  }
}
