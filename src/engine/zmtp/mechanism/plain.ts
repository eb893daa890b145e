/**
 * PLAIN: user name and password in clear text (24/ZMTP-PLAIN, Implementation).
 *
 *   client                                         server
 *   HELLO    05 "HELLO" | user length 1 | user | password length 1 | password  ->
 *                                                  <-  WELCOME  07 "WELCOME"
 *   INITIATE 08 "INITIATE" | metadata  ->
 *                                                  <-  READY    05 "READY" | metadata
 *   or, instead of WELCOME                         <-  ERROR    05 "ERROR" | length 1 | reason
 *
 *   client  hello sent -- WELCOME, send INITIATE --> initiate sent -- READY --> over
 *   server  waiting for HELLO --> asking -- allowed, send WELCOME --> waiting for INITIATE -- send READY --> over
 */
import { decodeMetadata, encodeCommand, parseCommand } from "../codec/command.js";
import {
  errorReceived,
  failed,
  type Mechanism,
  type MechanismOptions,
  type Metadata,
  refused,
  type Step,
  unexpected,
  type Verdict,
} from "./mechanism.js";

/**
 * libzmq's misspelt ERROR of a PLAIN server: the byte 5E and "RROR" in place of 05 "ERROR". It is never sent.
 */
const MISSPELT_ERROR = Buffer.from("\u005eRROR", "latin1");

const NOTHING = Buffer.alloc(0);

export class PlainClient implements Mechanism {
  readonly name = "PLAIN";
  readonly asServer = false;
  readonly #properties: Uint8Array;
  readonly #hello: Buffer;
  #state: "hello-sent" | "initiate-sent" | "over" = "hello-sent";

  constructor(options: MechanismOptions) {
    this.#properties = options.properties;
    const credentials = [options.plainUsername, options.plainPassword].map((text) => Buffer.from(text));
    this.#hello = Buffer.concat(credentials.flatMap((bytes) => [Buffer.of(bytes.length), bytes]));
  }

  start(): Step {
    return { send: [encodeCommand("HELLO", this.#hello)] };
  }

  receive(body: Buffer): Step {
    if (this.#state !== "over" && body.subarray(0, MISSPELT_ERROR.length).equals(MISSPELT_ERROR)) {
      return this.#end(errorReceived("PLAIN", body.subarray(MISSPELT_ERROR.length)));
    }
    const command = parseCommand(body);
    if (this.#state !== "over" && command?.name === "ERROR") {
      return this.#end(errorReceived("PLAIN", command.data));
    }
    if (this.#state === "hello-sent" && command?.name === "WELCOME") {
      if (command.data.length > 0) {
        return this.#end(failed("ERR_ZMTP_MALFORMED_COMMAND_WELCOME", "PLAIN: WELCOME carries data"));
      }
      this.#state = "initiate-sent";
      return { send: [encodeCommand("INITIATE", this.#properties)] };
    }
    if (this.#state === "initiate-sent" && command?.name === "READY") {
      const metadata = decodeMetadata(command.data);
      return this.#end(typeof metadata === "string" ? badMetadata("READY", metadata) : { done: metadata });
    }
    return this.#end(unexpected("PLAIN", this.#state === "hello-sent" ? "WELCOME" : "READY"));
  }

  authenticated(): Step {
    return this.#end(unexpected("PLAIN", "no verdict"));
  }

  #end(step: Step): Step {
    this.#state = "over";
    return step;
  }
}

export class PlainServer implements Mechanism {
  readonly name = "PLAIN";
  readonly asServer = true;
  readonly #properties: Uint8Array;
  readonly #asks: boolean;
  #state: "hello" | "asking" | "initiate" | "over" = "hello";

  constructor(options: MechanismOptions) {
    this.#properties = options.properties;
    this.#asks = options.asks;
  }

  start(): Step {
    return {};
  }

  receive(body: Buffer): Step {
    const command = parseCommand(body);
    if (this.#state !== "over" && command?.name === "ERROR") {
      return this.#end(errorReceived("PLAIN", command.data));
    }
    if (this.#state === "hello" && command?.name === "HELLO") return this.#hello(command.data);
    if (this.#state === "initiate" && command?.name === "INITIATE") {
      const metadata: Metadata | string = decodeMetadata(command.data);
      if (typeof metadata === "string") return this.#end(badMetadata("INITIATE", metadata));
      return this.#end({ send: [encodeCommand("READY", this.#properties)], done: metadata });
    }
    return this.#end(unexpected("PLAIN", this.#state === "hello" ? "HELLO" : "INITIATE"));
  }

  authenticated(verdict: Verdict): Step {
    if (this.#state !== "asking") return this.#end(unexpected("PLAIN", "no verdict"));
    if (verdict !== true) return this.#end(refused("PLAIN", verdict));
    this.#state = "initiate";
    return { send: [encodeCommand("WELCOME", NOTHING)] };
  }

  #hello(data: Buffer): Step {
    const userEnd = 1 + (data[0] ?? 0);
    const passwordLength = data[userEnd];
    // Extra bytes would be unchecked credentials.
    if (passwordLength === undefined || userEnd + 1 + passwordLength !== data.length) {
      return this.#end(
        failed("ERR_ZMTP_MALFORMED_COMMAND_HELLO", "PLAIN: user name and password do not fill HELLO"),
      );
    }
    if (!this.#asks) return this.#end(refused("PLAIN", false));
    this.#state = "asking";
    return {
      ask: {
        mechanism: "PLAIN",
        username: data.toString("utf8", 1, userEnd),
        password: data.toString("utf8", userEnd + 1),
      },
    };
  }

  #end(step: Step): Step {
    this.#state = "over";
    return step;
  }
}

function badMetadata(command: string, what: string): Step {
  return failed("ERR_ZMTP_INVALID_METADATA", `PLAIN: ${command} has ${what}`);
}
