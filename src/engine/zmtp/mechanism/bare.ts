/**
 * No mechanism (45/ZWS, No Mechanism): each side's first message is its routing id.
 *
 *   start --routing id of the peer--> asking, if there is a hook --allowed--> over
 */
import {
  failed,
  type Mechanism,
  type MechanismOptions,
  refused,
  type Step,
  type Verdict,
} from "./mechanism.js";

const MAX_ROUTING_ID = 255;

export class BareMechanism implements Mechanism {
  readonly name = "NULL";
  readonly asServer = false;
  readonly cipher = undefined;
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
