/**
 * The listeners of a node's links, one of each protocol.
 *
 *   start ──> open ──a check: it is gone──> opened again ──> open, perhaps elsewhere: advertised
 *              ^                              │ cannot be
 *              └────── a check, 5 s ────── withdrawn: advertised no more
 *
 * Peers that cannot reach this node request checks.
 */
import { describe, thrownText } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { LISTENER_CHECK, MAX_WHERE } from "./bounds.js";
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
  readonly #open = new Map<string, ProtocolListener>();
  /** By name of the protocol: why an open listener could not be opened again. */
  readonly #withdrawn = new Map<string, string>();
  /** For the next check, or during one. */
  #timer: NodeJS.Timeout | undefined = undefined;
  #checkedAt = Number.NEGATIVE_INFINITY;
  /** Requested since the current check began. */
  #again = false;
  #isStopped = false;

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  /** Reports listeners that cannot be opened. @throws the first protocol's error if none could be */
  async start(): Promise<void> {
    const failures: unknown[] = [];
    for (const protocol of this.#options.protocols) {
      const failed = await this.#listen(protocol);
      if (failed !== undefined) failures.push(failed.error);
    }
    if (this.#isStopped) return;
    if (this.#open.size === 0 && failures.length > 0) throw failures[0];
    this.#changed();
  }

  /** @returns why a protocol cannot be opened, which is reported */
  async #listen(protocol: LinkProtocol): Promise<{ readonly error: unknown } | undefined> {
    const { name } = protocol;
    try {
      const accept = (connection: MessageConnection): ConnectionEvents =>
        this.#options.accept(name, connection);
      const listener = await protocol.listen({ heartbeat: this.#options.heartbeat, accept });
      checkListener(listener);
      if (this.#isStopped) await listener.close(0);
      else this.#open.set(name, listener);
      return undefined;
    } catch (error) {
      const reason = thrownText(error);
      // Further attempts that fail alike are not reported.
      if (this.#withdrawn.get(name) !== reason) this.#options.failed(name, reason);
      return { error };
    }
  }

  /**
   * Peers cannot reach this node. A missing listener is opened again; if that fails, it is withdrawn until the next
   * check.
   */
  check(): void {
    if (this.#isStopped) return;
    this.#again = true;
    if (this.#timer !== undefined) return;
    const wait = Math.max(0, this.#checkedAt + LISTENER_CHECK - performance.now());
    this.#timer = setTimeout(() => {
      this.#checkedAt = performance.now();
      this.#again = false;
      void this.#look().then(() => {
        this.#timer = undefined;
        if (this.#again || this.#withdrawn.size > 0) this.check();
      });
    }, wait).unref();
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    for (const protocol of this.#options.protocols) {
      const { name } = protocol;
      const listener = this.#open.get(name);
      if (listener?.isOpen === undefined && !this.#withdrawn.has(name)) continue;
      try {
        if ((await listener?.isOpen?.()) === true) continue;
        // The listeners may have closed meanwhile.
        if (this.#isStopped) return;
        if (listener !== undefined) {
          this.#open.delete(name);
          this.#options.failed(name, "its listener was gone");
          await listener.close(0);
        }
      } catch (error) {
        this.#options.failed(name, thrownText(error));
      }
      if (this.#isStopped) return;
      if (this.#open.has(name)) continue;
      const failed = await this.#listen(protocol);
      if (failed === undefined) this.#withdrawn.delete(name);
      else this.#withdrawn.set(name, thrownText(failed.error));
      if (!this.#isStopped && (listener !== undefined || failed === undefined)) this.#changed();
    }
  }

  #changed(): void {
    const adverts = new Map<string, string>();
    for (const { name } of this.#options.protocols) {
      const listener = this.#open.get(name);
      if (listener !== undefined) adverts.set(name, listener.advert);
    }
    this.#options.changed(adverts);
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async close(linger: number): Promise<void> {
    this.stop();
    await Promise.all([...this.#open.values()].map((listener) => listener.close(linger)));
    this.#open.clear();
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
