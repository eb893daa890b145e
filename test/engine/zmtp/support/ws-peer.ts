/** A WebSocket client of bare bytes, written from RFC 6455 alone: it may break every rule. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { Reader } from "../../../../src/engine/zmtp/transport/reader.js";
import type { HttpStream } from "../../../../src/engine/zmtp/transport/ws.js";
import { ready } from "../../../contract/support/zmtp-peer.js";
import { portOf } from "../../../support/ports.js";

export const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

export const REQUEST: readonly string[] = [
  "GET / HTTP/1.1",
  "Host: 127.0.0.1",
  "Upgrade: websocket",
  "Connection: Upgrade",
  `Sec-WebSocket-Key: ${KEY}`,
  "Sec-WebSocket-Protocol: ZWS2.0/NULL,ZWS2.0",
  "Sec-WebSocket-Version: 13",
];

/** The request with lines changed by the name of their header, or left out. */
export function request(...changes: string[]): string {
  let lines = [...REQUEST];
  for (const change of changes) {
    const name = change.slice(0, change.indexOf(":") + 1);
    lines = name === "" ? [change, ...lines.slice(1)] : lines.filter((line) => !line.startsWith(name));
    if (name !== "" && change !== name) lines.push(change);
  }
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** A frame of a client. */
export function masked(opcode: number, payload: Uint8Array | string, first = 0x80 | opcode): Buffer {
  const bytes = Buffer.from(payload as string);
  const length =
    bytes.length < 126
      ? Buffer.of(0x80 | bytes.length)
      : bytes.length < 65_536
        ? Buffer.of(0xfe, bytes.length >>> 8, bytes.length & 0xff)
        : Buffer.concat([Buffer.of(0xff), Buffer.from(bytes.length.toString(16).padStart(16, "0"), "hex")]);
  const key = randomBytes(4);
  const body = bytes.map((byte, i) => byte ^ (key[i % 4] as number));
  return Buffer.concat([Buffer.of(first), length, key, body]);
}

/** A ZMQ frame of a client. */
export function frame(flags: number, body: Uint8Array | string): Buffer {
  return masked(2, Buffer.concat([Buffer.of(flags), Buffer.from(body as string)]));
}

/** A READY of a socket type. */
export function readyOf(type: string): Buffer {
  return frame(2, ready(type).subarray(2));
}

export interface Received {
  readonly opcode: number;
  readonly payload: Buffer;
}

export class WsPeer {
  readonly socket: Socket;
  #bytes = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => undefined);
    socket.on("data", (bytes: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      this.#rouse();
    });
    for (const event of ["end", "close"])
      socket.on(event, () => {
        this.#ended = true;
        this.#rouse();
      });
  }

  /** Connects without a word. */
  static async connect(endpoint: string): Promise<WsPeer> {
    const socket = connect(portOf(endpoint), "127.0.0.1");
    await once(socket, "connect");
    return new WsPeer(socket);
  }

  /** Connects and upgrades. @returns with the server's answer read */
  static async upgraded(endpoint: string, ...changes: string[]): Promise<WsPeer> {
    const peer = await WsPeer.connect(endpoint);
    peer.send(request(...changes));
    const answer = await peer.head();
    if (!answer.startsWith("HTTP/1.1 101 ")) throw new Error(answer);
    return peer;
  }

  send(...all: (Uint8Array | string)[]): void {
    for (const each of all) this.socket.write(each);
  }

  /** All that came until the end. */
  async rest(): Promise<string> {
    await this.#until(() => this.#ended);
    return this.#bytes.toString("latin1");
  }

  /** The head of the server's answer. */
  async head(): Promise<string> {
    const end = (): number => this.#bytes.indexOf("\r\n\r\n");
    await this.#until(() => end() >= 0 || this.#ended);
    const at = end() + 4;
    const text = this.#bytes.toString("latin1", 0, at);
    this.#bytes = this.#bytes.subarray(at);
    return text;
  }

  /** The next frame of the server, which must not be masked; `undefined`: the connection ended. */
  async receive(): Promise<Received | undefined> {
    for (;;) {
      const found = this.#frame();
      if (found !== undefined || this.#ended) return found;
      await this.#until(() => true, true);
    }
  }

  /** The end of the connection, whatever comes before. */
  async end(): Promise<void> {
    await this.#until(() => this.#ended);
  }

  #frame(): Received | undefined {
    const bytes = this.#bytes;
    if (bytes.length < 2) return undefined;
    const tiny = bytes[1] as number;
    const head = tiny === 127 ? 10 : tiny === 126 ? 4 : 2;
    if (tiny > 127) throw new Error("a masked frame of a server");
    if (bytes.length < head) return undefined;
    const length =
      tiny === 127 ? Number(bytes.readBigUInt64BE(2)) : tiny === 126 ? bytes.readUInt16BE(2) : tiny;
    if (bytes.length < head + length) return undefined;
    this.#bytes = bytes.subarray(head + length);
    return { opcode: (bytes[0] as number) & 15, payload: bytes.subarray(head, head + length) };
  }

  async #until(done: () => boolean, atLeastOnce = false): Promise<void> {
    for (let first = atLeastOnce; first || !done(); first = false)
      await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  #rouse(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** What a server answers to `KEY` or another key. */
export function acceptOf(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

/** The far end of a connection in memory. @param takes whether it takes what is written */
export class Wire extends Duplex {
  written = "";
  constructor(readonly takes = true) {
    super();
  }
  override _read(): void {}
  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.written += chunk.toString("latin1");
    if (this.takes) done();
  }
}

export function streamOf(socket: Wire, address = "10.0.0.1"): HttpStream {
  return { socket, reader: new Reader(), remote: `tcp://${address}:1`, address, pending: () => 0 };
}
