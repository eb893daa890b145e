/** A client of sessions that speaks for itself: a test decides about each message. */
import {
  type ClientMessage,
  decodeServerMessage,
  encodeClientMessage,
  type OpenRequest,
  type ServerMessage,
  VERSION,
} from "../../src/sessions/protocol.js";
import { Dealer, type DealerOptions } from "../../src/sockets/request-reply.js";

let attempts = 0;

export class RawClient {
  readonly socket: Dealer;

  constructor(endpoint: string, options: DealerOptions = {}) {
    this.socket = new Dealer({ linger: 0, ...options });
    this.socket.connect(endpoint);
  }

  send(message: ClientMessage): Promise<void> {
    return this.socket.send(encodeClientMessage(message));
  }

  open(id: string, terms: Partial<OpenRequest> = {}): Promise<void> {
    attempts += 1;
    const open: OpenRequest = {
      id,
      instance: attempts.toString(16).padStart(16, "0"),
      attempt: 1,
      token: "",
      expiry: -1,
      maxQueue: 1_000_000,
      maxQueueBytes: 2 ** 50,
      maxAge: -1,
      drop: "oldest",
      clean: false,
      again: false,
      window: 8_192,
      windowBytes: 2 ** 50,
      ...terms,
    };
    return this.send({ kind: "open", version: VERSION, ...open });
  }

  async answer(): Promise<ServerMessage> {
    const [frames] = await this.socket.receiveMany({ max: 1, timeout: 20_000 });
    return decodeServerMessage(frames as Buffer[]);
  }

  async ask(message: ClientMessage): Promise<ServerMessage> {
    await this.send(message);
    return this.answer();
  }

  close() {
    return this.socket.close();
  }
}
