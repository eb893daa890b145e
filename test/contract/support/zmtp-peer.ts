/**
 * A peer made of bare bytes, for what no well-behaved library does: fall silent,
 * stop in the middle, send garbage (37/ZMTP, Formal Grammar; NULL mechanism).
 *
 *   greeting   FF 8×00 7F | 03 01 | mechanism, 20 bytes | as-server | 31×00
 *   READY      04 size | 05 "READY" | (name length, name, value length 4, value)…
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { portOf } from "../../support/ports.js";

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

/** A command as a whole frame. */
export function command(name: string, data: Uint8Array | string = ""): Buffer {
  const body = Buffer.concat([Buffer.of(name.length), Buffer.from(name), Buffer.from(data as string)]);
  if (body.length <= 255) return Buffer.concat([Buffer.of(0x04, body.length), body]);
  const head = Buffer.alloc(9, 0x06);
  head.writeBigUInt64BE(BigInt(body.length), 1);
  return Buffer.concat([head, body]);
}

/** Reads until its socket is paused. */
export class RawPeer {
  readonly socket: Socket;
  /** The connection is gone, however. */
  readonly closed: Promise<void>;
  #heard: (() => void) | undefined;

  private constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("error", () => undefined);
    this.socket.on("data", () => this.#heard?.());
    this.closed = new Promise((resolve) => this.socket.once("close", () => resolve()));
    this.socket.once("close", () => this.#heard?.());
  }

  /** @param endpoint a tcp endpoint as `lastEndpoint` gives it */
  static async connect(endpoint: string): Promise<RawPeer> {
    const peer = new RawPeer(portOf(endpoint));
    await Promise.race([once(peer.socket, "connect"), peer.closed]);
    return peer;
  }

  write(...pieces: Buffer[]): boolean {
    return this.socket.destroyed || this.socket.write(Buffer.concat(pieces));
  }

  /** Settles when so many bytes have come in all, or the connection is gone. */
  async heard(bytes: number): Promise<void> {
    while (this.socket.bytesRead < bytes && !this.socket.destroyed) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
  }

  /** Greeting and READY, each when it is due. */
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
