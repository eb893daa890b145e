/**
 * NULL: no credentials, no protection (37/ZMTP, The NULL Security Mechanism). Both sides do the same.
 *
 *   READY = 05 "READY" | metadata
 *
 *   start -- asks --> asking -- allowed, send READY --> waiting -- READY --> over
 *     \------- send READY ------------------------------>/
 *
 * A side with a hook asks before it sends READY: the peer may send messages from then on. The first message
 * waits for the peer's READY, as libzmq requires.
 */
import { commandFrame } from "../../frame.js";
import { encodeCommand, parseCommand } from "../codec/command.js";
import { decodeMetadata } from "../codec/metadata.js";
import { RecentBytes } from "../codec/recent-bytes.js";
import {
  errorReceived,
  failed,
  type Mechanism,
  type MechanismOptions,
  refused,
  type Step,
  unexpected,
  type Verdict,
} from "./mechanism.js";

/** READY of peers without a routing id: sockets keep the memory of routing ids. */
const known = new RecentBytes<Step>();

const READY_FRAMES = new WeakMap<Uint8Array, Uint8Array>();

function readyFrame(properties: Uint8Array): Uint8Array {
  const known = READY_FRAMES.get(properties);
  if (known !== undefined) return known;
  const frame = commandFrame(encodeCommand("READY", properties));
  READY_FRAMES.set(properties, frame);
  return frame;
}

export class NullMechanism implements Mechanism {
  readonly name = "NULL";
  readonly asServer = false;
  readonly cipher = undefined;
  readonly early: Uint8Array | undefined;
  readonly #properties: Uint8Array;
  readonly #asks: boolean;
  #state: "asking" | "waiting" | "over" = "waiting";

  constructor(options: MechanismOptions) {
    this.#properties = options.properties;
    this.#asks = options.asks;
    this.early = options.asks ? undefined : readyFrame(options.properties);
  }

  start(): Step {
    if (!this.#asks) return this.#ready();
    this.#state = "asking";
    return { ask: { mechanism: "NULL" } };
  }

  authenticated(verdict: Verdict): Step {
    if (this.#state !== "asking") return this.#fail(unexpected("NULL", "no verdict"));
    if (verdict !== true) return this.#fail(refused("NULL", verdict));
    return this.#ready();
  }

  receive(body: Buffer): Step {
    const step = this.#state === "waiting" ? known.find(body, body.length) : undefined;
    if (step !== undefined) {
      this.#state = "over";
      return step;
    }
    const command = this.#state === "waiting" ? parseCommand(body) : undefined;
    if (command?.name === "ERROR") return this.#fail(errorReceived("NULL", command.data));
    if (command?.name !== "READY") return this.#fail(unexpected("NULL", "READY"));
    this.#state = "over";
    const metadata = decodeMetadata(command.data);
    if (typeof metadata === "string")
      return failed("ERR_ZMTP_INVALID_METADATA", `NULL: READY has ${metadata}`);
    const done: Step = { done: metadata };
    if ((metadata.get("identity")?.length ?? 0) === 0) known.add(Buffer.from(body), done);
    return done;
  }

  #ready(): Step {
    this.#state = "waiting";
    return { send: [encodeCommand("READY", this.#properties)] };
  }

  #fail(step: Step): Step {
    this.#state = "over";
    return step;
  }
}
