/**
 * Forwards tcp ports through links (docs/spec/link.md, Ports).
 *
 *   program ──tcp──> forwardPort ══channel "tcp/NAME"══> forwardChannels ──tcp──> program
 *
 * Only the connecting end knows targets by names, so the peer reaches nothing else.
 */
import { connect, createServer, isIP, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { describe } from "../core/arguments.js";
import { InvalidArgumentError, TransportError, UnroutableError } from "../core/errors.js";
import { ignore } from "../core/ignore.js";
import { checkFunction, checkObject, checkOptions, integer, text } from "../patterns/kit/options.js";
import { MAX_NAME, URGENCIES } from "./bounds.js";
import { LinkChannel } from "./channel.js";
import type { MultiplexLink, MultiplexLinkOptions } from "./link.js";
import { type LinkSource, ReusedLink } from "./reused-link.js";

const PREFIX = "tcp/";
/** ms. */
const CONNECT_TIMEOUT = 10_000;

export interface ForwardPortOptions {
  /** Default `127.0.0.1`. */
  readonly host?: string | undefined;
  /** 0: a free port. Default 0. */
  readonly port?: number | undefined;
  /** Most connections at once; further ones are closed. Default 1,024. */
  readonly maxConnections?: number | undefined;
  /** Priority, 0 to 7, lower first. Default 3. */
  readonly urgency?: number | undefined;
}

export interface ForwardedPort {
  /** "host:port". */
  readonly address: string;
  /** The last connection's error, if it failed. */
  readonly error: Error | undefined;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const OPTIONS = {
  host: text(),
  port: integer({ default: 0, min: 0, max: 65_535 }),
  maxConnections: integer({ default: 1_024 }),
  urgency: integer({ default: 3, min: 0, max: URGENCIES - 1 }),
} as const;

/**
 * Listens at a port, and forwards connections through a link to a name's target in the peer's {@link forwardChannels}.
 *
 * @param source a link, or a function that makes one when needed
 * @returns once it listens
 * @throws InvalidArgumentError `EINVAL`; TransportError with the system's code, such as `EADDRINUSE`
 */
export async function forwardPort(
  source: LinkSource,
  name: string,
  options: ForwardPortOptions = {},
): Promise<ForwardedPort> {
  const { host = "127.0.0.1", port, maxConnections, urgency } = checkOptions("forwardPort", OPTIONS, options);
  checkName(name);
  const links = new ReusedLink(source);
  const sockets = new Set<Socket>();
  let last: Error | undefined;
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", ignore).on("close", () => sockets.delete(socket));
    open(links, name, urgency).then(
      (channel) => {
        last = undefined;
        join(socket, channel);
      },
      (error: Error) => {
        last = error;
        socket.resetAndDestroy();
      },
    );
  });
  server.maxConnections = maxConnections;
  const address = await listen(server, host, port);
  // An error of accepting, such as ENFILE, does not stop it.
  server.on("error", (error) => {
    last = error;
  });
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    address,
    get error() {
      return last;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function open(links: ReusedLink, name: string, urgency: number): Promise<LinkChannel> {
  const link = await links.get();
  return link.open(PREFIX + name, { urgency });
}

function listen(server: Server, host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const { code = "ERR_TRANSPORT", message } = error;
      reject(new TransportError(code as "EADDRINUSE", `No port to forward: ${message}`, { cause: error }));
    });
    server.listen({ host, port }, () => {
      const at = server.address() as { readonly address: string; readonly port: number };
      resolve(`${isIP(at.address) === 6 ? `[${at.address}]` : at.address}:${at.port}`);
    });
  });
}

/**
 * Makes an `onChannel` that connects channels of {@link forwardPort} to local targets.
 *
 * @param targets "host:port" by name, all that can be reached
 * @param otherwise receives other channels, as a link's `onChannel`. Default: refused
 * @throws InvalidArgumentError `EINVAL`
 */
export function forwardChannels(
  targets: Readonly<Record<string, string>>,
  otherwise?: MultiplexLinkOptions["onChannel"],
): (channel: LinkChannel, link: MultiplexLink) => unknown {
  checkObject("targets", targets);
  if (otherwise !== undefined) checkFunction("otherwise", otherwise);
  const table = new Map<string, { readonly host: string; readonly port: number }>();
  for (const [name, target] of Object.entries(targets)) {
    checkName(name);
    table.set(PREFIX + name, parseTarget(name, target));
  }
  return (channel, link) => {
    const target = table.get(channel.name);
    if (target !== undefined) connectTo(target, channel);
    else if (otherwise !== undefined && !channel.name.startsWith(PREFIX)) return otherwise(channel, link);
    else throw new UnroutableError("No channel of this name is accepted here");
    return undefined;
  };
}

function connectTo(target: { readonly host: string; readonly port: number }, channel: LinkChannel): void {
  const socket = connect({ ...target, allowHalfOpen: true, noDelay: true, timeout: CONNECT_TIMEOUT });
  join(socket, channel);
  socket.once("connect", () => socket.setTimeout(0));
  socket.once("timeout", () => socket.destroy());
}

function join(socket: Socket, channel: LinkChannel): void {
  const follow = (from: Duplex, to: Socket | LinkChannel): void => {
    from.on("error", ignore);
    from.on("close", () => {
      // An orderly end: both directions had ended.
      if (!(from.readableEnded && from.writableFinished)) breakOff(to);
    });
    from.pipe(to);
  };
  follow(socket, channel);
  follow(channel, socket);
  if (socket.destroyed) channel.destroy();
  else if (channel.destroyed) socket.resetAndDestroy();
}

function breakOff(stream: Socket | LinkChannel): void {
  if (stream instanceof LinkChannel) stream.destroy();
  else stream.resetAndDestroy();
}

function checkName(name: unknown): asserts name is string {
  const length = typeof name === "string" ? Buffer.byteLength(name) : 0;
  const most = MAX_NAME - PREFIX.length;
  if (length < 1 || length > most)
    throw new InvalidArgumentError(`The name of a port must have 1 to ${most} bytes; got ${describe(name)}`);
}

function parseTarget(name: string, target: unknown): { readonly host: string; readonly port: number } {
  const found = typeof target === "string" ? /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(target) : null;
  const port = Number(found?.[3]);
  const host = found?.[1] ?? found?.[2];
  if (host === undefined || port < 1 || port > 65_535)
    throw new InvalidArgumentError(
      `The target of ${describe(name)} must be "host:port"; got ${describe(target)}`,
    );
  return { host, port };
}
