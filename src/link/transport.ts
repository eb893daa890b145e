/**
 * Named channels over all links of a program, to peers that have the name open.
 *
 *   open(name)   opens on each link a channel for sending. Refused: the peer has not opened the name
 *   OPEN comes   the peer has opened the name: its channel is for its messages; a refused channel of this end is opened again
 *   status       "open" when the peer accepts this end's channel; "closed" when that ends, or this end closes the name
 *
 * Closing a name lets this end's channel send queued data, and resets the peer's.
 */

import type { Duplex } from "node:stream";
import { describe, invalidArgument } from "../core/arguments.js";
import { isBytes } from "../core/bytes.js";
import {
  InvalidArgumentError,
  InvalidStateError,
  type ShoalError,
  TransportError,
  UnroutableError,
} from "../core/errors.js";
import { type EventsOf, event } from "../core/event-stream.js";
import { ignore } from "../core/waiter.js";
import { Driver, type PatternCloseOptions } from "../kit/driver.js";
import { bytes, checkFunction, checkOptions, type Given, integer, type Settings } from "../kit/options.js";
import type { LinkChannel } from "./channel.js";
import { ChannelKind, encodeMessage, MessageReader } from "./frames.js";
import { checkName, type MultiplexLink, type MultiplexLinkOptions, openLink } from "./link.js";
import { checkLinkOptions } from "./options.js";

const MAX_NAMES = 4_096;

export type NameStatus = "open" | "closed";

export type LinkStatus = "connected" | "ended";

const EVENTS = {
  "link:ended": event<{ readonly address: string | undefined; readonly error?: ShoalError | undefined }>(),
  "channel:failed": event<{ readonly name: string; readonly error: unknown }>(),
  "handler:failed": event<{ readonly name: string; readonly error: unknown }>(),
};

export type MultiplexTransportEvent = EventsOf<typeof EVENTS>;

export interface MultiplexTransportStats {
  readonly links: number;
  readonly names: number;
  /** Messages; refused: the queue was full. */
  readonly sent: number;
  readonly received: number;
  readonly refused: number;
}

export interface TransportLinkStatus {
  readonly link: MultiplexLink;
  readonly address: string | undefined;
  readonly names: readonly string[];
}

type OnStatus = (link: MultiplexLink, status: NameStatus, name: string) => unknown;
type OnData = (link: MultiplexLink, data: Buffer, name: string) => unknown;

interface OpenName {
  readonly onStatus: OnStatus;
  readonly onData: OnData;
}

interface Way {
  out: LinkChannel | undefined;
  isOpening: boolean;
  /** The peer's channels; the first is read to its end before those of a reopened name. */
  readonly ins: Set<LinkChannel>;
  opened: number;
}

const TRANSPORT_OPTIONS = {
  /** Bytes of a message: a longer one is not sent, and ends its channel on receipt. Default 1,048,576. */
  maxMessageSize: integer({ default: 1_048_576 }),
  /** Queued bytes of a channel beyond which `sendFrame` rejects with `ERR_TOO_MANY_PENDING`. Default 4,194,304. */
  maxQueueBytes: bytes({ default: 4_194_304 }),
  /** Most links. Default 1,024. */
  maxLinks: integer({ default: 1_024 }),
} as const;

export type MultiplexTransportOptions = Omit<MultiplexLinkOptions, "onChannel" | "role"> &
  Given<typeof TRANSPORT_OPTIONS>;

/**
 * Named channels over any number of links, with callbacks, for clusters whose nodes make their streams.
 *
 * @example
 * ```ts
 * import { duplexPair } from "node:stream";
 * import { type MultiplexLink, MultiplexTransport } from "shoal/link";
 *
 * const [a, b] = [new MultiplexTransport("cluster password"), new MultiplexTransport("cluster password")];
 * const arrived = new Promise((resolve) => {
 *   b.open("prices", () => {}, (link, data) => resolve(data.toString()));
 * });
 * const ready = new Promise<MultiplexLink>((resolve) => {
 *   a.open("prices", (link) => resolve(link), () => {});
 * });
 * const [here, there] = duplexPair();
 * await Promise.all([a.openLink(here), b.openLink(there)]);
 * await a.sendFrame(await ready, "prices", Buffer.from("first"));
 * console.log(await arrived); // first
 * await Promise.all([a.close(), b.close()]);
 * ```
 */
export class MultiplexTransport extends Driver<MultiplexTransportEvent, MultiplexTransportStats> {
  readonly #linkOptions: MultiplexLinkOptions;
  readonly #settings: Settings<typeof TRANSPORT_OPTIONS>;
  readonly #names = new Map<string, OpenName>();
  readonly #links = new Map<MultiplexLink, Map<string, Way>>();
  #commencing = 0;
  #sent = 0;
  #received = 0;
  #refused = 0;

  /**
   * @param password known to all ends
   * @throws InvalidArgumentError `EINVAL`
   */
  constructor(password?: string | readonly string[], options: MultiplexTransportOptions = {}) {
    super("MultiplexTransport", EVENTS);
    const { maxMessageSize, maxQueueBytes, maxLinks, ...rest } = options;
    this.#settings = checkOptions("MultiplexTransport", TRANSPORT_OPTIONS, {
      maxMessageSize,
      maxQueueBytes,
      maxLinks,
    });
    this.#linkOptions = { ...rest, ...(password === undefined ? {} : { password }) };
    checkLinkOptions("MultiplexTransport", this.#linkOptions);
  }

  /**
   * Opens a name on all links, also later ones.
   *
   * @param name 1 to 255 bytes
   * @param onStatus called when a peer has the name open too, and no longer
   * @param onData called with each message; a pending promise delays that link's next message of the name, and its
   *   sender
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` for an open name, or too many; ClosedError `EBADF`
   */
  open(name: string, onStatus: OnStatus, onData: OnData): void {
    this.assertOpen();
    checkName(name);
    checkFunction("onStatus", onStatus);
    checkFunction("onData", onData);
    if (this.#names.has(name)) throw new InvalidStateError("EFSM", `Name ${describe(name)} is open already`);
    if (this.#names.size >= MAX_NAMES)
      throw new InvalidStateError("EFSM", `A transport can have at most ${MAX_NAMES} names`);
    this.#names.set(name, { onStatus, onData });
    for (const link of this.#links.keys()) this.#openOn(link, name);
  }

  isOpen(name: string): boolean {
    return this.#names.has(name);
  }

  override close(name: string): boolean;
  /** Closes names, then links; as each driver's `close`. */
  override close(options?: PatternCloseOptions): Promise<void>;
  override close(given?: string | PatternCloseOptions): boolean | Promise<void> {
    return typeof given === "string" ? this.#closeName(given) : super.close(given);
  }

  #closeName(name: string): boolean {
    const open = this.#names.get(name);
    if (open === undefined) return false;
    this.#names.delete(name);
    const closed: [MultiplexLink, Way][] = [];
    for (const [link, ways] of this.#links) {
      const way = ways.get(name);
      if (way !== undefined) closed.push([link, way]);
      ways.delete(name);
    }
    // The program may open it again, within each of these calls.
    for (const [link, way] of closed) {
      for (const channel of way.ins) channel.destroy();
      const { out } = way;
      way.out = undefined;
      out?.end();
      if (out !== undefined) this.#call(name, () => open.onStatus(link, "closed", name));
    }
    return true;
  }

  /**
   * Makes a link of a stream, with all names.
   *
   * @param onStatus called when the link is up, and has ended
   * @throws as the function `openLink`; InvalidStateError `EFSM` for too many links; ClosedError `EBADF`
   */
  openLink(
    duplex: Duplex,
    onStatus?: (link: MultiplexLink, status: LinkStatus) => unknown,
    options: Pick<MultiplexLinkOptions, "role"> = {},
  ): Promise<MultiplexLink> {
    return this.run(async () => {
      this.assertOpen();
      if (onStatus !== undefined) checkFunction("onStatus", onStatus);
      if (this.#links.size + this.#commencing >= this.#settings.maxLinks)
        throw new InvalidStateError("EFSM", `A transport can have at most ${this.#settings.maxLinks} links`);
      this.#commencing += 1;
      try {
        const link = await openLink(duplex, {
          ...this.#linkOptions,
          ...options,
          onChannel: (channel, on) => this.#onChannel(on, channel),
        });
        this.#onLink(link, onStatus);
        return link;
      } finally {
        this.#commencing -= 1;
      }
    });
  }

  /** @param address "host:port", or a host for any port */
  hasConnection(address: string): boolean {
    for (const { address: other } of this.#links.keys()) {
      if (other === address || other?.slice(0, other.lastIndexOf(":")) === address) return true;
    }
    return false;
  }

  status(): readonly TransportLinkStatus[] {
    return Array.from(this.#links, ([link, ways]) => ({
      link,
      address: link.address,
      names: [...ways].filter(([, { out }]) => isUsable(out)).map(([name]) => name),
    }));
  }

  /**
   * @param data copied
   * @returns once the stream has accepted it
   * @throws UnroutableError `EHOSTUNREACH` for a name not open at both ends; InvalidStateError `ERR_TOO_MANY_PENDING`;
   *   InvalidArgumentError `EINVAL` for too long a message; TransportError `ERR_TRANSPORT` when the channel ends first
   */
  sendFrame(link: MultiplexLink, name: string, data: Uint8Array): Promise<void> {
    return this.run(async () => {
      this.assertOpen();
      const { maxMessageSize, maxQueueBytes } = this.#settings;
      if (!isBytes(data)) throw invalidArgument("A message must be a Uint8Array", data);
      if (data.length > maxMessageSize)
        throw new InvalidArgumentError(
          `A message must have at most ${maxMessageSize} bytes; got ${data.length}`,
        );
      const out = this.#links.get(link)?.get(name)?.out;
      if (!isUsable(out)) throw new UnroutableError(`Name ${describe(name)} is not open at the other end`);
      if (out.writableLength > 0 && out.writableLength + data.length > maxQueueBytes) {
        this.#refused += 1;
        throw new InvalidStateError(
          "ERR_TOO_MANY_PENDING",
          `More than ${maxQueueBytes} bytes wait on ${describe(name)}`,
        );
      }
      await new Promise<void>((resolve, reject) => {
        out.write(encodeMessage(data), (error) => {
          if (error == null) resolve();
          else reject(error instanceof TransportError ? error : cut(name, error));
        });
      });
      this.#sent += 1;
    });
  }

  stats(): MultiplexTransportStats {
    return {
      links: this.#links.size,
      names: this.#names.size,
      sent: this.#sent,
      received: this.#received,
      refused: this.#refused,
    };
  }

  /** @internal */
  protected override async onClose(linger: number): Promise<void> {
    for (const name of [...this.#names.keys()]) this.#closeName(name);
    await Promise.all([...this.#links.keys()].map((link) => link.close({ linger })));
  }

  #onLink(
    link: MultiplexLink,
    onStatus: ((link: MultiplexLink, status: LinkStatus) => unknown) | undefined,
  ): void {
    if (this.closed || link.ended) {
      this.#links.delete(link);
      void link.close({ linger: 0 });
      return;
    }
    const { address } = link;
    // The peer's first channels may exist already.
    if (!this.#links.has(link)) this.#links.set(link, new Map());
    const report = (status: LinkStatus): void => {
      if (onStatus !== undefined) this.#call("", () => onStatus(link, status));
    };
    link.events.on("link:ended", ({ error }) => {
      this.#links.delete(link);
      this.events.emit({ type: "link:ended", address, error });
      report("ended");
    });
    report("connected");
    for (const name of this.#names.keys()) this.#openOn(link, name);
  }

  #wayOf(link: MultiplexLink, name: string): Way {
    let ways = this.#links.get(link);
    if (ways === undefined) {
      ways = new Map();
      this.#links.set(link, ways);
    }
    let way = ways.get(name);
    if (way === undefined) {
      way = { out: undefined, isOpening: false, ins: new Set(), opened: 0 };
      ways.set(name, way);
    }
    return way;
  }

  #openOn(link: MultiplexLink, name: string): void {
    const way = this.#wayOf(link, name);
    if (way.isOpening || isUsable(way.out)) return;
    way.isOpening = true;
    const { opened } = way;
    link.openMessages(name).then(
      (channel) => {
        way.isOpening = false;
        this.#onOut(link, name, way, channel);
        // It was reset meanwhile.
        if (channel.destroyed) this.#openAgain(link, name, way, opened);
      },
      (error: ShoalError) => {
        way.isOpening = false;
        // The peer's own OPEN comes when it opens the name.
        if (error.code === "ECONNREFUSED") this.#openAgain(link, name, way, opened);
        else if (!link.ended && !this.closed) this.events.emit({ type: "channel:failed", name, error });
      },
    );
  }

  /** Retries once per OPEN of the peer meanwhile, since a peer may open a name and still refuse it. */
  #openAgain(link: MultiplexLink, name: string, way: Way, opened: number): void {
    if (way.opened !== opened && this.#links.get(link)?.get(name) === way) this.#openOn(link, name);
  }

  #onOut(link: MultiplexLink, name: string, way: Way, channel: LinkChannel): void {
    const open = this.#names.get(name);
    channel.on("error", ignore);
    if (open === undefined || this.#links.get(link)?.get(name) !== way) channel.destroy();
    if (channel.destroyed) return;
    way.out = channel;
    channel.resume(); // The peer sends on its own channel.
    channel.once("close", () => {
      if (way.out !== channel) return;
      way.out = undefined;
      this.#call(name, () => open?.onStatus(link, "closed", name));
    });
    this.#call(name, () => open?.onStatus(link, "open", name));
  }

  #onChannel(link: MultiplexLink, channel: LinkChannel): void {
    const { name } = channel;
    const open = this.#names.get(name);
    if (open === undefined || channel.kind !== ChannelKind.MESSAGES) {
      channel.on("error", ignore);
      throw new UnroutableError(`Name ${describe(name)} is not open here`);
    }
    const way = this.#wayOf(link, name);
    way.opened += 1;
    way.ins.add(channel);
    channel.on("error", ignore);
    channel.end(); // This end sends on its own channel.
    if (way.ins.size === 1) void this.#read(link, way, open);
    this.#openOn(link, name);
  }

  async #read(link: MultiplexLink, { ins }: Way, open: OpenName): Promise<void> {
    for (const channel of ins) {
      try {
        await this.#readChannel(link, channel, open);
      } catch (error) {
        const wasReset =
          channel.destroyed && (error as { code?: string }).code === "ERR_STREAM_PREMATURE_CLOSE";
        if (!wasReset && !link.ended) this.events.emit({ type: "channel:failed", name: channel.name, error });
        channel.destroy();
      }
      ins.delete(channel);
    }
  }

  async #readChannel(link: MultiplexLink, channel: LinkChannel, open: OpenName): Promise<void> {
    const { name } = channel;
    const reader = new MessageReader(this.#settings.maxMessageSize);
    for await (const chunk of channel) {
      reader.push(chunk);
      for (let message = reader.message(); message !== undefined; message = reader.message()) {
        if (this.#names.get(name) !== open) return;
        this.#received += 1;
        try {
          const result = open.onData(link, message, name);
          if (result instanceof Promise) await result;
        } catch (error) {
          this.events.emit({ type: "handler:failed", name, error });
        }
      }
      if (reader.excess > 0) throw new InvalidArgumentError("A message is longer than maxMessageSize");
    }
    if (reader.length > 0) throw new InvalidArgumentError("A channel ended within a message");
  }

  #call(name: string, callback: () => unknown): void {
    try {
      const result = callback();
      if (result instanceof Promise)
        result.catch((error: unknown) => this.events.emit({ type: "handler:failed", name, error }));
    } catch (error) {
      this.events.emit({ type: "handler:failed", name, error });
    }
  }
}

function isUsable(channel: LinkChannel | undefined): channel is LinkChannel {
  return channel !== undefined && !channel.destroyed;
}

function cut(name: string, cause: Error): TransportError {
  return new TransportError(
    "ERR_TRANSPORT",
    `Name ${describe(name)} was closed before the message had been sent`,
    {
      cause,
    },
  );
}
