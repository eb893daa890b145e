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
import { type Command, encodeCommand } from "../codec/command.js";
import { errorReceived, type Mechanism, MechanismSide, refused, type Step } from "./mechanism.js";

/**
 * libzmq's misspelt ERROR of a PLAIN server: the byte 5E and "RROR" in place of 05 "ERROR". It is never sent.
 */
const MISSPELT_ERROR = Buffer.from("\u005eRROR", "latin1");

const NOTHING = Buffer.alloc(0);

export class PlainClient extends MechanismSide implements Mechanism {
  readonly name = "PLAIN";
  readonly asServer = false;
  protected expected: "WELCOME" | "READY" = "WELCOME";

  start(): Step {
    const { plainUsername, plainPassword } = this.options;
    const credentials = [plainUsername, plainPassword].map((text) => Buffer.from(text));
    const hello = Buffer.concat(credentials.flatMap((bytes) => [Buffer.of(bytes.length), bytes]));
    return { send: [encodeCommand("HELLO", hello)] };
  }

  override receive(body: Buffer): Step {
    if (!this.isOver && body.subarray(0, MISSPELT_ERROR.length).equals(MISSPELT_ERROR))
      return this.end(errorReceived("PLAIN", body.subarray(MISSPELT_ERROR.length)));
    return super.receive(body);
  }

  protected on({ name, data }: Command): Step | undefined {
    if (name !== this.expected) return undefined;
    if (name === "READY") return this.done(name, data);
    if (data.length > 0) return this.fail("ERR_ZMTP_MALFORMED_COMMAND_WELCOME", "WELCOME carries data");
    this.expected = "READY";
    return { send: [encodeCommand("INITIATE", this.options.properties)] };
  }
}

export class PlainServer extends MechanismSide implements Mechanism {
  readonly name = "PLAIN";
  readonly asServer = true;
  protected expected: "HELLO" | "INITIATE" = "HELLO";

  start(): Step {
    return {};
  }

  protected on({ name, data }: Command): Step | undefined {
    if (name !== this.expected) return undefined;
    if (name === "HELLO") return this.#hello(data);
    return this.done(name, data, encodeCommand("READY", this.options.properties));
  }

  protected override admitted(): Step {
    this.expected = "INITIATE";
    return { send: [encodeCommand("WELCOME", NOTHING)] };
  }

  #hello(data: Buffer): Step {
    const userEnd = 1 + (data[0] ?? 0);
    const passwordLength = data[userEnd];
    // Extra bytes would be unchecked credentials.
    if (passwordLength === undefined || userEnd + 1 + passwordLength !== data.length)
      return this.fail("ERR_ZMTP_MALFORMED_COMMAND_HELLO", "user name and password do not fill HELLO");
    if (!this.options.asks) return this.end(refused("PLAIN", false));
    return this.ask({
      username: data.toString("utf8", 1, userEnd),
      password: data.toString("utf8", userEnd + 1),
    });
  }
}
