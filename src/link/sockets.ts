/**
 * ZMTP sockets over links: a transport with a channel per connection (docs/spec/link.md, Sockets).
 *
 *   socket.connect("link://SITE/NAME") ──dial──> channel "zmtp/NAME" of the link of SITE ──onChannel──> socket bound to "link://NAME"
 *
 * An unbound name's channel is refused; the socket retries, as with a closed port.
 */
import { describe, invalidArgument, quoted, suggest } from "../core/arguments.js";
import { InvalidArgumentError, TransportError, UnroutableError } from "../core/errors.js";
import type {
  Transport,
  TransportAcceptor,
  TransportListener,
  TransportStream,
} from "../core/schemes/schemes.js";
import { anything, checkOptions, func, type Given } from "../kit/options.js";
import type { LinkChannel } from "./channel.js";
import { MultiplexLink } from "./link.js";

const PREFIX = "zmtp/";
/** Bytes. */
const MAX_SOCKET_NAME = 200;

const OPTIONS = {
  /** Scheme before `://`. Default `link`. */
  scheme: anything<string>(),
  /** Receives other channels, as a link's `onChannel`. Default: refused. */
  otherwise: func<(channel: LinkChannel, link: MultiplexLink) => unknown>(),
} as const;

export type LinkTransportOptions = Given<typeof OPTIONS>;

/**
 * Socket endpoints that are names at a link's other end: `bind("link://NAME")` there, `connect("link://SITE/NAME")`
 * here. For `registerTransport`; its `onChannel` is for links.
 *
 * @example
 * ```ts no-run
 * import { registerTransport, Reply } from "shoal";
 * import { dialLink, openLink, LinkTransport } from "shoal/link";
 *
 * const transport = new LinkTransport();
 * registerTransport(transport);
 * const reply = new Reply();
 * await reply.bind("link://orders");
 * // At the other end of a link: connect("link://warehouse/orders").
 * const password = "correct horse battery staple";
 * transport.add("warehouse", async () => openLink(await dialLink("https://warehouse.example/cluster"), { role: "initiator", password }));
 * ```
 */
export class LinkTransport implements Transport {
  readonly scheme: string;
  /** Passes channels to the sockets bound to their names; for links. */
  readonly onChannel: (channel: LinkChannel, link: MultiplexLink) => unknown;
  readonly #sites = new Map<string, Site>();
  readonly #bound = new Map<string, TransportAcceptor>();

  constructor(options: LinkTransportOptions = {}) {
    const { scheme = "link", otherwise } = checkOptions("LinkTransport", OPTIONS, options);
    this.scheme = scheme;
    this.onChannel = (channel, link) => {
      if (channel.name.startsWith(PREFIX)) return this.#accept(channel, link);
      if (otherwise === undefined) throw new UnroutableError("No channel of this name is accepted here");
      return otherwise(channel, link);
    };
  }

  /**
   * @param source a link, or a function that makes one when a socket needs it, so that sockets reconnect
   * @returns removes the site; existing connections stay
   * @throws InvalidArgumentError `EINVAL`, also for a duplicate name
   */
  add(site: string, source: LinkSource): () => void {
    if (!isName(site)) throw invalidArgument(`A link's name must be ${FORM}`, site);
    if (this.#sites.has(site))
      throw new InvalidArgumentError(`The name ${describe(site)} has a link already`);
    const added = linkFrom(source);
    this.#sites.set(site, added);
    return () => {
      if (this.#sites.get(site) === added) this.#sites.delete(site);
    };
  }

  check(endpoint: string, use: "bind" | "connect"): void {
    const { site, name } = this.#parse(endpoint);
    const isGood = isName(name) && (use === "bind" ? site === undefined : isName(site));
    if (isGood) return;
    const form = use === "bind" ? `${this.scheme}://NAME` : `${this.scheme}://LINK/NAME`;
    throw new InvalidArgumentError(`Endpoint ${quoted(endpoint)}: expected ${form}, each name ${FORM}`, {
      endpoint,
    });
  }

  async listen(endpoint: string, acceptor: TransportAcceptor): Promise<TransportListener> {
    return this.listenSync(endpoint, acceptor);
  }

  listenSync(endpoint: string, acceptor: TransportAcceptor): TransportListener {
    const { name } = this.#parse(endpoint);
    if (this.#bound.has(name))
      throw new TransportError("EADDRINUSE", `The name ${describe(name)} is bound already`, { endpoint });
    this.#bound.set(name, acceptor);
    return {
      endpoint,
      close: async () => {
        if (this.#bound.get(name) === acceptor) this.#bound.delete(name);
      },
    };
  }

  async dial(endpoint: string, signal: AbortSignal): Promise<TransportStream> {
    const { site = "", name } = this.#parse(endpoint);
    const found = this.#sites.get(site);
    if (found === undefined) {
      const near = suggest(site, [...this.#sites.keys()]);
      throw new TransportError("EHOSTUNREACH", `There is no link ${describe(site)}${near}`, { endpoint });
    }
    const link = await found();
    // A later abort of `open`'s signal would end the channel.
    const opening = new AbortController();
    const abort = (): void => opening.abort(signal.reason);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    const channel = await link
      .open(PREFIX + name, { signal: opening.signal })
      .finally(() => signal.removeEventListener("abort", abort));
    return { stream: channel, remote: endpoint, address: hostOf(link) };
  }

  #accept(channel: LinkChannel, link: MultiplexLink): void {
    const name = channel.name.slice(PREFIX.length);
    const acceptor = this.#bound.get(name);
    if (acceptor === undefined) throw new UnroutableError(`No socket has bound ${describe(name)}`);
    const remote = `${this.scheme}://${link.address ?? "link"}/${channel.id}`;
    acceptor.accepted({ stream: channel, remote, address: hostOf(link) });
  }

  #parse(endpoint: string): { readonly site: string | undefined; readonly name: string } {
    const address = endpoint.slice(endpoint.indexOf("://") + 3);
    const slash = address.indexOf("/");
    return slash < 0
      ? { site: undefined, name: address }
      : { site: address.slice(0, slash), name: address.slice(slash + 1) };
  }
}

const FORM = `1 to ${MAX_SOCKET_NAME} bytes without "/"`;

function isName(value: unknown): value is string {
  if (typeof value !== "string" || value.includes("/")) return false;
  const length = Buffer.byteLength(value);
  return length >= 1 && length <= MAX_SOCKET_NAME;
}

/** Address for `authenticate`; only sockets have one. */
function hostOf({ address }: MultiplexLink): string {
  if (address === undefined) return "";
  return address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
}

/** A link, or a function that makes one when none exists or the last has ended. */
export type LinkSource = MultiplexLink | (() => MultiplexLink | Promise<MultiplexLink>);

/** @throws TransportError `ERR_TRANSPORT` for an ended link without replacement; the function's errors */
type Site = () => Promise<MultiplexLink>;

/** A link is made on first use, and again after its end. Concurrent users wait for one attempt. */
function linkFrom(source: LinkSource): Site {
  if (source instanceof MultiplexLink) return async () => assertUsable(source);
  if (typeof source !== "function")
    throw invalidArgument("The source must be a link, or a function that creates one", source);
  let made: Promise<MultiplexLink> | undefined;
  return async () => {
    const last = made;
    // Its error went to its callers.
    const link = await last?.catch(() => undefined);
    if (link !== undefined && isUsable(link)) return link;
    // The first of several waiting callers makes another link.
    if (made === last) made = make(source);
    return made as Promise<MultiplexLink>;
  };
}

async function make(source: Exclude<LinkSource, MultiplexLink>): Promise<MultiplexLink> {
  const link: unknown = await source();
  if (!(link instanceof MultiplexLink)) throw invalidArgument("The function must return a link", link);
  return assertUsable(link);
}

function isUsable(link: MultiplexLink): boolean {
  return !link.ended && !link.closed;
}

function assertUsable(link: MultiplexLink): MultiplexLink {
  if (!isUsable(link)) throw new TransportError("ERR_TRANSPORT", "The link has ended");
  return link;
}
