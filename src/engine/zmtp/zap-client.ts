/**
 * Asks an authentication service of the program's own, bound in the same context,
 * about a peer (27/ZAP): for programs that were written for libzmq. The option
 * `authenticate` is the shorter way, and has precedence.
 *
 *   request  "" | 1.0 | id | domain | address | identity | mechanism | credentials…
 *   reply    "" | 1.0 | id | status | text | user id | metadata
 *
 * Any number of questions may be under way; `id` tells the answers apart.
 */
import { decodeZ85 } from "../../core/z85.js";
import type { EngineListener, EngineSocket, OutgoingFrame, PeerCredentials } from "../engine.js";
import { OfferResult } from "../engine.js";

/** Where the service is looked for. */
export const ZAP_ENDPOINT = "inproc://zeromq.zap.01";

/** How long an answer may take, in ms; a peer is refused after that. */
const ANSWER_TIME = 30_000;
/** Questions under way at most; peers past it are refused. */
const MAX_QUESTIONS = 4_096;

interface Question {
  readonly settle: (allowed: boolean) => void;
  readonly timer: NodeJS.Timeout;
}

export class ZapClient {
  readonly #open: (listener: EngineListener) => EngineSocket;
  readonly #questions = new Map<string, Question>();
  #socket: EngineSocket | undefined = undefined;
  #next = 0;

  /** @param open a DEALER of the context */
  constructor(open: (listener: EngineListener) => EngineSocket) {
    this.#open = open;
  }

  /** @param identity the asking socket's own routing id, as libzmq tells it */
  ask(peer: PeerCredentials, identity: Uint8Array): Promise<boolean> {
    if (this.#questions.size >= MAX_QUESTIONS) return Promise.resolve(false);
    const socket = this.#connected();
    this.#next += 1;
    const id = String(this.#next);
    return new Promise((resolve) => {
      const settle = (allowed: boolean): void => {
        clearTimeout(timer);
        this.#questions.delete(id);
        if (this.#questions.size === 0) this.#end();
        resolve(allowed);
      };
      const timer = setTimeout(() => settle(false), ANSWER_TIME).unref();
      this.#questions.set(id, { settle, timer });
      const request = [
        "",
        "1.0",
        id,
        peer.domain,
        peer.address,
        identity,
        peer.mechanism,
        ...credentialsOf(peer),
      ];
      if (socket.offer(request) !== OfferResult.Accepted) settle(false);
    });
  }

  #connected(): EngineSocket {
    if (this.#socket !== undefined) return this.#socket;
    const read = (): void => {
      for (let reply = socket.take(); reply !== undefined; reply = socket.take()) this.#hear(reply);
      if (this.#socket === socket) socket.wantReadable(1);
    };
    const socket = this.#open({
      engineOnReadable: read,
      engineOnWritable: () => undefined,
      engineOnEvent: () => undefined,
      engineAuthenticate: undefined,
    });
    this.#socket = socket;
    socket.connect(ZAP_ENDPOINT, undefined);
    socket.wantReadable(1);
    return socket;
  }

  #hear(reply: readonly Buffer[]): void {
    const question = this.#questions.get(String(reply[2]));
    if (question === undefined) return;
    const wellFormed = reply.length === 7 && reply[0]?.length === 0 && String(reply[1]) === "1.0";
    question.settle(wellFormed && String(reply[3]) === "200");
  }

  /** With the last answer the connection ends, so that it does not hold the process. */
  #end(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    void socket?.close(0);
  }
}

function credentialsOf({ mechanism, username, password, publicKey }: PeerCredentials): OutgoingFrame[] {
  if (mechanism === "PLAIN") return [username ?? "", password ?? ""];
  return publicKey === undefined ? [] : [decodeZ85(publicKey)];
}
