/**
 * TOKEN: both sides show that they have the same text, in clear.
 *
 *   READY = 05 "READY" | length 1 | token | metadata
 */
import { timingSafeEqual } from "node:crypto";
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
} from "./mechanism.js";

export class TokenMechanism implements Mechanism {
  readonly name = "TOKEN";
  readonly asServer = false;
  readonly cipher = undefined;
  readonly #token: Buffer;
  readonly #properties: Uint8Array;

  constructor({ token, properties }: MechanismOptions) {
    const text = Buffer.from(token);
    this.#token = Buffer.concat([Buffer.of(text.length), text]);
    this.#properties = properties;
  }

  start(): Step {
    return { send: [encodeCommand("READY", Buffer.concat([this.#token, this.#properties]))] };
  }

  authenticated(): Step {
    return unexpected("TOKEN", "no verdict");
  }

  receive(body: Buffer): Step {
    const command = parseCommand(body);
    if (command?.name === "ERROR") return errorReceived("TOKEN", command.data);
    if (command?.name !== "READY") return unexpected("TOKEN", "READY");
    const { length } = this.#token;
    const shown = command.data.subarray(0, length);
    if (shown.length < length || !timingSafeEqual(shown, this.#token)) return refused("TOKEN", false);
    const metadata = decodeMetadata(command.data.subarray(length));
    if (typeof metadata === "string")
      return failed("ERR_ZMTP_INVALID_METADATA", `TOKEN: READY has ${metadata}`);
    return { done: metadata };
  }
}
