/**
 * NULL: no credentials, no protection (37/ZMTP, The NULL Security Mechanism).
 * Both sides do the same.
 *
 *   READY = 05 "READY" | metadata
 *
 *   start -- asks --> asking -- allowed, send READY --> waiting -- READY --> over
 *     \------- send READY ------------------------------>/
 *
 * A side with a hook asks before it sends READY: the peer may talk as soon as
 * it has ours.
 */
import { encodeCommand, parseCommand } from "../codec/command.js";
import { decodeMetadata } from "../codec/metadata.js";
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

export class NullMechanism implements Mechanism {
  readonly name = "NULL";
  readonly asServer = false;
  readonly cipher = undefined;
  readonly #properties: Uint8Array;
  readonly #asks: boolean;
  #state: "asking" | "waiting" | "over" = "waiting";

  constructor(options: MechanismOptions) {
    this.#properties = options.properties;
    this.#asks = options.asks;
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
    if (typeof metadata === "string")
      return failed("ERR_ZMTP_INVALID_METADATA", `NULL: READY has ${metadata}`);
    return { done: metadata };
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
