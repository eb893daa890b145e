/** The listeners of a node's links, one of each protocol. */
import { describe, thrownText } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { MAX_WHERE } from "./bounds.js";
import type { ConnectionEvents, LinkProtocol, MessageConnection, ProtocolListener } from "./protocol.js";

export interface ListenersOptions {
  /** By priority. */
  readonly protocols: readonly LinkProtocol[];
  readonly heartbeat: number;
  accept(protocol: string, connection: MessageConnection): ConnectionEvents;
  changed(adverts: ReadonlyMap<string, string>): void;
  failed(protocol: string, reason: string): void;
}

export class Listeners {
  readonly #options: ListenersOptions;
  readonly #open: ProtocolListener[] = [];
  #isStopped = false;

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  /** Reports listeners that cannot be opened. @throws the first protocol's error if none could be */
  async start(): Promise<void> {
    const failures: unknown[] = [];
    const adverts = new Map<string, string>();
    const { heartbeat, protocols, accept, failed, changed } = this.#options;
    for (const protocol of protocols) {
      const { name } = protocol;
      try {
        const host = { heartbeat, accept: (connection: MessageConnection) => accept(name, connection) };
        const listener = await protocol.listen(host);
        checkListener(listener);
        if (this.#isStopped) await listener.close(0);
        else this.#open.push(listener);
        adverts.set(name, listener.advert);
      } catch (error) {
        failed(name, thrownText(error));
        failures.push(error);
      }
    }
    if (this.#isStopped) return;
    if (this.#open.length === 0 && failures.length > 0) throw failures[0];
    changed(adverts);
  }

  stop(): void {
    this.#isStopped = true;
  }

  async close(linger: number): Promise<void> {
    this.stop();
    await Promise.all(this.#open.splice(0).map((listener) => listener.close(linger)));
  }
}

/** Checks the listener of a program's protocol. @throws InvalidArgumentError `EINVAL` */
function checkListener(listener: ProtocolListener): void {
  if (typeof listener?.close !== "function")
    throw new InvalidArgumentError(`a listener has advert and close; got ${describe(listener)}`);
  const { advert } = listener;
  if (typeof advert !== "string" || Buffer.byteLength(advert) > MAX_WHERE || advert.includes(";"))
    throw new InvalidArgumentError(
      `a listener's advert is a text of at most ${MAX_WHERE} bytes without ";"; got ${describe(advert)}`,
    );
}
