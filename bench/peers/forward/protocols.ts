/**
 * NATS's text protocol, MQTT 3.1.1 with QoS 0 and RESP 2, limited to publishing and subscribing to one topic, so that
 * the benchmark measures the brokers instead of client libraries.
 */
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export const TOPIC = "bench";

/** Interface of the protocols. */
export interface Protocol {
  /** Connects, over TLS with an authority's certificate if given, and greets. */
  open(port: number, ca: Buffer | undefined): Promise<Socket>;
  /** Bytes before and after a message of this size. */
  frame(size: number): { readonly head: Buffer; readonly tail: Buffer };
  subscribe(socket: Socket): void;
  /** Calls the listener with each received message. */
  read(socket: Socket, onMessage: (body: Buffer) => void): void;
}

function once(socket: Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, () => resolve());
    socket.once("error", reject);
  });
}

/** Joins received pieces into whole messages: `take` returns the end of the next one, or 0 if it is incomplete. */
function whole(socket: Socket, take: (bytes: Buffer, at: number) => number): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    for (let end = take(bytes, at); end > 0; end = take(bytes, at)) at = end;
    rest = bytes.subarray(at);
  });
}

const NEWLINE = 10;

export const nats: Protocol = {
  async open(port, ca) {
    const plain = connect(port, "127.0.0.1").setNoDelay();
    await once(plain, "readable");
    plain.read(); // INFO
    const socket = ca === undefined ? plain : connectTls({ socket: plain, ca, host: "127.0.0.1" });
    if (ca !== undefined) await once(socket, "secureConnect");
    socket.write(`CONNECT {"verbose":false,"pedantic":false,"tls_required":${ca !== undefined}}\r\nPING\r\n`);
    return socket;
  },
  frame: (size) => ({ head: Buffer.from(`PUB ${TOPIC} ${size}\r\n`), tail: Buffer.from("\r\n") }),
  subscribe: (socket) => void socket.write(`SUB ${TOPIC} 1\r\n`),
  read(socket, onMessage) {
    whole(socket, (bytes, at) => {
      if (at >= bytes.length) return 0;
      const newline = bytes.indexOf(NEWLINE, at);
      if (newline < 0) return 0;
      // MSG subject sid size: the size is the last word.
      if (bytes[at] === 77) {
        let size = 0;
        let scale = 1;
        for (let i = newline - 2; (bytes[i] as number) !== 32; i--, scale *= 10)
          size += ((bytes[i] as number) - 48) * scale;
        const body = newline + 1;
        if (body + size + 2 > bytes.length) return 0;
        onMessage(bytes.subarray(body, body + size));
        return body + size + 2;
      }
      // PING, else PONG and INFO.
      if (bytes[at] === 80 && bytes[at + 1] === 73) socket.write("PONG\r\n");
      else if (bytes[at] === 45) throw new Error(bytes.toString("latin1", at, newline));
      return newline + 1;
    });
  },
};

/** Encodes a remaining length. */
function lengthOf(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  return [...bytes, rest];
}

function text(value: string): number[] {
  return [0, value.length, ...Buffer.from(value)];
}

export const mqtt: Protocol = {
  async open(port) {
    const socket = connect(port, "127.0.0.1").setNoDelay();
    await once(socket, "connect");
    const body = [...text("MQTT"), 4, 2, 0, 0, ...text(`bench-${process.pid}`)];
    socket.write(Buffer.from([0x10, ...lengthOf(body.length), ...body]));
    return socket;
  },
  frame(size) {
    const topic = text(TOPIC);
    return { head: Buffer.from([0x30, ...lengthOf(topic.length + size), ...topic]), tail: Buffer.alloc(0) };
  },
  subscribe(socket) {
    const body = [0, 1, ...text(TOPIC), 0];
    socket.write(Buffer.from([0x82, ...lengthOf(body.length), ...body]));
  },
  read(socket, onMessage) {
    whole(socket, (bytes, at) => {
      let size = 0;
      let scale = 1;
      let i = at + 1;
      for (;;) {
        const byte = bytes[i++];
        if (byte === undefined) return 0;
        size += (byte & 127) * scale;
        if (byte < 128) break;
        scale *= 128;
      }
      if (i + size > bytes.length) return 0;
      if ((bytes[at] as number) >> 4 === 3)
        onMessage(bytes.subarray(i + 2 + bytes.readUInt16BE(i), i + size));
      return i + size;
    });
  },
};

const RESP_TOPIC = `$${TOPIC.length}\r\n${TOPIC}\r\n`;
/** Length of the answer to a subscription, and of the bytes before a message's size. */
const SUBSCRIBED = `*3\r\n$9\r\nsubscribe\r\n${RESP_TOPIC}:1\r\n`.length;
const RESP_MESSAGE = `*3\r\n$7\r\nmessage\r\n${RESP_TOPIC}$`.length;
/** Offset at which the two differ: the length of their first word. */
const RESP_WORD = 5;

/** RESP 2: a command is an array of texts, each after its length. */
export const redis: Protocol = {
  async open(port) {
    const socket = connect(port, "127.0.0.1").setNoDelay();
    await once(socket, "connect");
    return socket;
  },
  frame: (size) => ({
    head: Buffer.from(`*3\r\n$7\r\nPUBLISH\r\n${RESP_TOPIC}$${size}\r\n`),
    tail: Buffer.from("\r\n"),
  }),
  subscribe: (socket) => void socket.write(`*2\r\n$9\r\nSUBSCRIBE\r\n${RESP_TOPIC}`),
  read(socket, onMessage) {
    whole(socket, (bytes, at) => {
      // A number: subscribers of the publisher's server that got the message.
      if (bytes[at] !== 42) {
        const end = bytes.indexOf(NEWLINE, at) + 1;
        if (bytes[at] === 45 && end > 0) throw new Error(bytes.toString("latin1", at, end));
        return end;
      }
      if (at + RESP_WORD >= bytes.length) return 0;
      if (bytes[at + RESP_WORD] !== 55) return at + SUBSCRIBED > bytes.length ? 0 : at + SUBSCRIBED;
      const newline = bytes.indexOf(NEWLINE, at + RESP_MESSAGE);
      if (newline < 0) return 0;
      let size = 0;
      for (let i = at + RESP_MESSAGE; i < newline - 1; i++) size = 10 * size + (bytes[i] as number) - 48;
      const body = newline + 1;
      if (body + size + 2 > bytes.length) return 0;
      onMessage(bytes.subarray(body, body + size));
      return body + size + 2;
    });
  },
};
