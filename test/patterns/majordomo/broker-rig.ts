/** A broker's rules, and peers that the test plays: what they say, and what they are sent. */
import {
  brokerSettings,
  type MajordomoBrokerEvent,
  type MajordomoBrokerLimits,
} from "../../../src/patterns/majordomo/broker-options.js";
import { BrokerRules } from "../../../src/patterns/majordomo/broker-rules.js";
import {
  type AtBroker,
  type AtClient,
  type AtWorker,
  decode,
} from "../../../src/patterns/majordomo/protocol.js";
import type { DeliveryResult } from "../../../src/sockets/index.js";
import { type FromBroker, framesOf } from "./messages.js";

type Peer = string | Buffer;

export class BrokerRig {
  rules = this.#rulesOf({});
  events: MajordomoBrokerEvent[] = [];
  /** What becomes of a message to a peer; "sent" of those to others. */
  results = new Map<string, DeliveryResult>();
  /** Bytes that the engine has for a client. */
  queued = new Map<string, number>();
  /** The routing id of a peer: the same object for all its messages, until it is removed. */
  ids = new Map<string, Buffer>();
  #sent: Buffer[][] = [];

  /** Another broker, which knows nobody. */
  readonly make = (limits: Partial<MajordomoBrokerLimits> = {}): void => {
    for (const each of [this.results, this.queued, this.ids]) each.clear();
    this.events = [];
    this.#sent = [];
    this.rules = this.#rulesOf(limits);
  };

  readonly idOf = (peer: Peer): Buffer => {
    const id = this.ids.get(peer.toString("latin1")) ?? Buffer.from(peer as string);
    this.ids.set(id.toString("latin1"), id);
    return id;
  };

  readonly hear = (peer: Peer, message: AtBroker, now = 0): void => {
    this.rules.receive(this.idOf(peer), message, now);
  };

  /** Frames of a peer; a number is a frame of one byte. */
  readonly hearFrames = (
    peer: Peer,
    now: number,
    ...parts: readonly (string | number | Uint8Array)[]
  ): void => {
    const frames = parts.map((part) =>
      typeof part === "number" ? Buffer.of(part) : Buffer.from(part as string),
    );
    this.hear(peer, decode("broker", [this.idOf(peer), ...frames]), now);
  };

  /** All that was sent since the last look, routing ids first. */
  readonly takeSent = (): Buffer[][] => this.#sent.splice(0);

  /** What a peer was sent since the last look. */
  readonly sentTo = (peer: Peer): Buffer[][] => {
    const id = this.idOf(peer);
    const found = this.#sent.filter(([to]) => to?.equals(id));
    this.#sent = this.#sent.filter(([to]) => !to?.equals(id));
    return found.map((message) => message.slice(1));
  };

  readonly toldTo = (client: Peer): AtClient[] =>
    this.sentTo(client).map((frames) => decode("client", frames));
  readonly heardBy = (worker: Peer): AtWorker[] =>
    this.sentTo(worker).map((frames) => decode("worker", frames));

  /** Requests that are in none of a broker's counts; and those in two of them, less than 0. */
  get balance(): number {
    const { requests, answered, failed, abandoned, queued, inFlight } = this.rules.stats();
    return requests - answered - failed - abandoned - queued - inFlight;
  }

  #rulesOf(limits: Partial<MajordomoBrokerLimits>): BrokerRules {
    const send = (to: Buffer, message: FromBroker): DeliveryResult => {
      const frames = framesOf(to, message);
      const result = this.results.get(to.toString("latin1")) ?? "sent";
      if (result === "sent") this.#sent.push(frames);
      return result;
    };
    const outbox = {
      toClient: send,
      toWorker: send,
      queuedBytes: (client: Buffer): number => this.queued.get(client.toString("latin1")) ?? 0,
      event: (event: MajordomoBrokerEvent): void => void this.events.push(event),
    };
    return new BrokerRules(brokerSettings(limits), outbox, 0);
  }
}
