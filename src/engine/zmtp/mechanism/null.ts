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
import { decodeMetadata, encodeCommand, encodeGreeting, parseCommand } from "../codec/command.js";
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

/** By their properties; those without a routing id share one array (admission.ts): 3 µs of a connection's 130. */
const OPENINGS = new WeakMap<Uint8Array, Buffer>();

function openingOf(properties: Uint8Array): Buffer {
  const known = OPENINGS.get(properties);
  if (known !== undefined) return known;
  const ready = commandFrame(encodeCommand("READY", properties));
  const opening = Buffer.concat([encodeGreeting("NULL", false), ready]);
  OPENINGS.set(properties, opening);
  return opening;
}

export class NullMechanism implements Mechanism {
  readonly name = "NULL";
  readonly asServer = false;
  readonly opening: Buffer | undefined;
  readonly #properties: Uint8Array;
  readonly #asks: boolean;
  #state: "asking" | "waiting" | "over" = "waiting";

  constructor(options: MechanismOptions) {
    this.#properties = options.properties;
    this.#asks = options.asks;
    this.opening = options.asks ? undefined : openingOf(options.properties);
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
    const command = this.#state === "waiting" ? parseCommand(body) : undefined;
    if (command?.name === "ERROR") return this.#fail(errorReceived("NULL", command.data));
    if (command?.name !== "READY") return this.#fail(unexpected("NULL", "READY"));
    this.#state = "over";
    const metadata = decodeMetadata(command.data);
    return typeof metadata === "string"
      ? failed("ERR_ZMTP_INVALID_METADATA", `NULL: READY has ${metadata}`)
      : { done: metadata };
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

const MAX_ROUTING_ID = 255;

/**
 * No mechanism (45/ZWS, No Mechanism): each side's first message is its routing id.
 *
 *   start --routing id of the peer--> asking, if there is a hook --allowed--> over
 */
export class BareMechanism implements Mechanism {
  readonly name = "NULL";
  readonly asServer = false;
  readonly routingId: Uint8Array;
  readonly #asks: boolean;
  #identity: Buffer | undefined;

  constructor({ asks }: Pick<MechanismOptions, "asks">, routingId: Uint8Array) {
    this.#asks = asks;
    this.routingId = routingId;
  }

  start(): Step {
    return {};
  }

  receive(body: Buffer): Step {
    if (body.length > MAX_ROUTING_ID)
      return failed(
        "ERR_ZMTP_INVALID_METADATA",
        `the peer's routing id has ${body.length} bytes, more than 255`,
      );
    this.#identity = Buffer.from(body);
    return this.#asks ? { ask: { mechanism: "NULL" } } : this.#done(this.#identity);
  }

  authenticated(verdict: Verdict): Step {
    if (verdict === true && this.#identity !== undefined) return this.#done(this.#identity);
    // Without commands there is no ERROR to send.
    const { failed: fault } = refused("NULL", verdict === true ? false : verdict);
    return { failed: fault as NonNullable<typeof fault> };
  }

  #done(identity: Buffer): Step {
    return { done: new Map([["identity", identity]]) };
  }
}
