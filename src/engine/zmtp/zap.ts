/**
 * Asks the context's authentication service about a peer (27/ZAP). The option `authenticate` takes
 * precedence.
 *
 *   request  "" | 1.0 | id | domain | address | identity | mechanism | credentials…
 *   reply    "" | 1.0 | id | status | text | user id | metadata
 *
 * Each question has its own connection.
 */
import type { ErrorCode } from "../../core/errors.js";
import { ignore } from "../../core/waiter.js";
import { decodeZ85 } from "../../core/z85.js";
import type { EngineListener, EngineSocket, OutgoingFrame, PeerCredentials } from "../engine.js";
import { OfferResult } from "../engine.js";
import { decodeMetadata } from "./codec/command.js";
import type { Refusal, Verdict } from "./mechanism/mechanism.js";

export const ZAP_ENDPOINT = "inproc://zeromq.zap.01";

const VERSION = "1.0";
const REQUEST_ID = "1";
const STATUS = /^[2-5]00$/;

/** ms */
const ANSWER_TIME = 30_000;

export class ZapClient {
  readonly #open: (listener: EngineListener) => EngineSocket;

  constructor(open: (listener: EngineListener) => EngineSocket) {
    this.#open = open;
  }

  ask(peer: PeerCredentials, identity: Uint8Array): Promise<Verdict> {
    return new Promise((resolve) => {
      let asked = true;
      const settle = (verdict: Verdict): void => {
        if (!asked) return;
        asked = false;
        clearTimeout(timer);
        void socket.close(0);
        resolve(verdict);
      };
      const socket = this.#open({
        engineOnReadable: () => {
          const reply = socket.take();
          if (reply !== undefined) settle(verdictOf(reply));
        },
        engineOnWritable: ignore,
        engineOnEvent: ignore,
        engineAuthenticate: undefined,
      });
      const timer = setTimeout(() => settle(false), ANSWER_TIME).unref();
      socket.endpoints.connect(ZAP_ENDPOINT, undefined);
      const { domain, address, mechanism } = peer;
      const request = ["", VERSION, REQUEST_ID, domain, address, identity, mechanism, ...credentialsOf(peer)];
      if (socket.offer(request) !== OfferResult.Accepted) settle(false);
      else socket.wantReadable(1);
    });
  }
}

/** In libzmq's order. */
function verdictOf(reply: readonly Buffer[]): Verdict {
  const [delimiter, version, id, status, , , metadata] = reply.map((frame) => frame.toString("latin1"));
  if (reply.length !== 7) return fault("MALFORMED_REPLY", `has ${reply.length} frames, not 7`);
  if (delimiter !== "") return fault("UNSPECIFIED", "does not begin with an empty frame");
  if (version !== VERSION) return fault("BAD_VERSION", `has a version other than ${VERSION}`);
  if (id !== REQUEST_ID) return fault("BAD_REQUEST_ID", "is for another request");
  if (!STATUS.test(status as string))
    return fault("INVALID_STATUS_CODE", "has a status that is not 200, 300, 400 or 500");
  const properties = decodeMetadata(Buffer.from(metadata as string, "latin1"));
  if (typeof properties === "string") return fault("INVALID_METADATA", `has ${properties}`);
  return status === "200" ? true : { status: Number(status) as 300 | 400 | 500 };
}

function fault(code: string, what: string): Refusal {
  return { code: `ERR_ZAP_${code}` as ErrorCode, message: `the authentication service's reply ${what}` };
}

function credentialsOf({ mechanism, username, password, publicKey }: PeerCredentials): OutgoingFrame[] {
  if (mechanism === "PLAIN") return [username ?? "", password ?? ""];
  return publicKey === undefined ? [] : [decodeZ85(publicKey)];
}
