/**
 * A peer made of bare bytes, for what no well-behaved library does: fall silent,
 * stop in the middle, send garbage (37/ZMTP, Formal Grammar; NULL mechanism).
 *
 *   greeting   FF 8×00 7F | 03 01 | mechanism, 20 bytes | as-server | 31×00
 *   READY      04 size | 05 "READY" | (name length, name, value length 4, value)…
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export function greeting(mechanism = "NULL", minor = 1): Buffer {
  const bytes = Buffer.alloc(64);
  bytes[0] = 0xff;
  bytes[9] = 0x7f;
  bytes[10] = 3;
  bytes[11] = minor;
  bytes.write(mechanism, 12, "latin1");
  return bytes;
}

export function ready(socketType: string): Buffer {
  const name = "Socket-Type";
  const body = Buffer.alloc(6 + 1 + name.length + 4 + socketType.length);
  body.write("\u0005READY", 0, "latin1");
  body[6] = name.length;
  body.write(name, 7, "latin1");
  body.writeUInt32BE(socketType.length, 7 + name.length);
  body.write(socketType, 11 + name.length, "latin1");
  return Buffer.concat([Buffer.from([0x04, body.length]), body]);
}

/** One short frame, the last of its message. */
export function frame(body: string): Buffer {
  return Buffer.concat([Buffer.from([0x00, body.length]), Buffer.from(body, "latin1")]);
}

export class RawPeer {
  readonly closed: Promise<unknown>;
  #received = Buffer.alloc(0);
  #onData: (() => void) | undefined;

  private constructor(readonly socket: Socket) {
    // Not of node:events: that rejects where an error comes first.
    this.closed = new Promise((resolve) => socket.once("close", resolve));
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#onData?.();
    });
  }

  /** @param endpoint a tcp endpoint as `lastEndpoint` gives it */
  static async connect(endpoint: string): Promise<RawPeer> {
    const socket = connect(Number(endpoint.slice(endpoint.lastIndexOf(":") + 1)), "127.0.0.1");
    const peer = new RawPeer(socket);
    await once(socket, "connect");
    return peer;
  }

  write(...pieces: Buffer[]): void {
    this.socket.write(Buffer.concat(pieces));
  }

  /** Settles when the other side has sent so many bytes. */
  async receive(bytes: number): Promise<Buffer> {
    while (this.#received.length < bytes) {
      await new Promise<void>((resolve) => {
        this.#onData = resolve;
      });
    }
    return this.#received;
  }

  /** The whole NULL handshake. */
  async handshake(socketType: string): Promise<void> {
    this.write(greeting());
    await this.receive(64);
    this.write(ready(socketType));
    // Their READY begins after their greeting: 04, size, body.
    const size = (await this.receive(66))[65] as number;
    await this.receive(66 + size);
  }

  destroy(): void {
    this.socket.destroy();
  }
}
