/**
 * The thread of beats: it has the packet socket, hands everything to the event loop, and answers pings for it while that is
 * blocked, so a handler that computes for ten seconds costs no membership. Started by threaded-datagrams.ts.
 *
 *   datagram ──> event loop            handled within ANSWER_AFTER: nothing more
 *      └──not handled in time──> a ping for this node? ──> ack with the last known incarnation and picture
 *
 * It refutes nothing and changes nothing: an accusation waits for the event loop.
 */
import { parentPort, workerData } from "node:worker_threads";
import { shortId } from "../identity.js";
import { readPrefix } from "../wire/codec.js";
import { NO_UPDATES, Packet, PacketType } from "../wire/packets.js";
import {
  type Arrived,
  BeatField,
  type BeatThreadData,
  type FromBeatThread,
  MAX_UNHANDLED,
  type ToBeatThread,
} from "./beat-messages.js";
import { BusCodec } from "./bus-codec.js";
import { Datagrams } from "./datagrams.js";

/** ms after which a ping that the event loop has not handled is answered here; well below every profile's probe timeout. */
const ANSWER_AFTER = 30;

interface Bus {
  readonly codec: BusCodec;
  readonly id: string;
  readonly index: number;
}

interface Unhandled {
  readonly number: number;
  readonly at: number;
  readonly datagram: Arrived;
}

const main = parentPort as NonNullable<typeof parentPort>;
const { options, handled, beats } = workerData as BeatThreadData;
const handledCount = new Int32Array(handled);
const beatFields = new Float64Array(beats);
const buses = new Map<number, Bus>();

function post(message: FromBeatThread): void {
  main.postMessage(message);
}

let arrived: Arrived[] = [];
let count = 0;
let unhandled: Unhandled[] = [];
let timer: NodeJS.Timeout | undefined;

const datagrams = new Datagrams(
  options,
  (bytes, host, port, byGroup) => {
    const behind = (count - Atomics.load(handledCount, 0)) | 0;
    // A copy of its own: the socket's memory may be larger.
    const datagram = { bytes: Uint8Array.from(bytes), host, port, byGroup };
    if (!byGroup) {
      unhandled.push({ number: count, at: performance.now(), datagram });
      timer ??= setTimeout(answerUnhandled, ANSWER_AFTER);
    }
    if (behind >= MAX_UNHANDLED) {
      post({ type: "count", reason: "thread:full" });
      return;
    }
    count = (count + 1) | 0;
    if (arrived.length === 0) setImmediate(forward);
    arrived.push(datagram);
  },
  (reason) => post({ type: "count", reason }),
  (hasGroup) => post({ type: "group", hasGroup }),
);

function forward(): void {
  const batch = arrived;
  arrived = [];
  post({ type: "datagrams", datagrams: batch });
}

function answerUnhandled(): void {
  timer = undefined;
  const now = performance.now();
  const done = Atomics.load(handledCount, 0);
  const waiting = unhandled;
  unhandled = [];
  for (const each of waiting) {
    if (((each.number - done) | 0) < 0) continue;
    if (now - each.at < ANSWER_AFTER - 1) unhandled.push(each);
    else answer(each.datagram);
  }
  if (unhandled.length > 0) timer = setTimeout(answerUnhandled, ANSWER_AFTER / 2);
}

function answer({ bytes, host, port }: Arrived): void {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const prefix = readPrefix(view);
  const bus = prefix && buses.get(prefix.bus);
  if (bus === undefined) return;
  const at = bus.index * BeatField.LENGTH;
  if (beatFields[at + BeatField.ANSWERS] !== 1) return;
  const packet = bus.codec.decode(view);
  if (typeof packet === "string" || packet.type !== PacketType.PING) return;
  // A ping for another node, or for any node, waits for the event loop.
  if (packet.target !== shortId(bus.id)) return;
  const [version, , start, pings, digest] = beatFields.slice(at, at + BeatField.LENGTH);
  // Just being changed: then the event loop runs.
  if ((version as number) % 2 === 1 || version !== beatFields[at + BeatField.VERSION]) return;
  const ack = new Packet(
    PacketType.ACK,
    bus.id,
    start as number,
    pings as number,
    digest as number,
    packet.seq,
    0,
    0,
    "",
    "",
    undefined,
    undefined,
    NO_UPDATES,
  );
  datagrams.send(bus.codec.encode(ack), host, port);
}

main.on("message", (message: ToBeatThread) => {
  switch (message.type) {
    case "send": {
      const { buffer, byteOffset, byteLength } = message.bytes;
      datagrams.send(Buffer.from(buffer, byteOffset, byteLength), message.host, message.port);
      break;
    }
    case "multicast": {
      const { buffer, byteOffset, byteLength } = message.bytes;
      datagrams.multicast(Buffer.from(buffer, byteOffset, byteLength));
      break;
    }
    case "interfaces":
      datagrams.setInterfaces(message.interfaces);
      break;
    case "bus": {
      const codec = new BusCodec(message.name, message.keys);
      buses.set(codec.bus, { codec, id: message.id, index: message.index });
      break;
    }
    case "close":
      clearTimeout(timer);
      void datagrams.close().then(() => {
        post({ type: "closed" });
        main.close();
      });
  }
});

datagrams.open().then(
  () => post({ type: "open", hasGroup: datagrams.hasGroup }),
  (error: { readonly code?: string; readonly message: string }) => {
    post({ type: "failed", code: error.code ?? "ERR_TRANSPORT", message: error.message });
    main.close();
  },
);
