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
import { type Command, encodeCommand, encodeGreeting } from "../codec/command.js";
import {
  failed,
  type Mechanism,
  type MechanismOptions,
  MechanismSide,
  refused,
  type Step,
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

type NullOptions = Pick<MechanismOptions, "properties" | "asks">;

export class NullMechanism extends MechanismSide<NullOptions> implements Mechanism {
  readonly name = "NULL";
  readonly asServer = false;
  readonly opening: Buffer | undefined;
  protected readonly expected = "READY";

  constructor(options: NullOptions) {
    super(options);
    this.opening = options.asks ? undefined : openingOf(options.properties);
  }

  start(): Step {
    return this.options.asks ? this.ask({}) : this.admitted();
  }

  protected override admitted(): Step {
    return { send: [encodeCommand("READY", this.options.properties)] };
  }

  protected on({ name, data }: Command): Step | undefined {
    return name === "READY" ? this.done("READY", data) : undefined;
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
