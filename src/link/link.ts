/**
 * A link: many channels over one duplex stream, driven by rules.ts.
 *
 *   openLink(duplex) ──handshake──> OPEN ──close, or GOAWAY of the peer───────> DRAINING ──no channels──> ENDED
 *                        └─failed: the duplex is destroyed        └──lost, silent, broken───────────────────^
 */

import type { Duplex } from "node:stream";
import { addAbortSignal } from "node:stream";
import { describe, invalidArgument, isInstance, isThenable, takeDuplex } from "../core/arguments.js";
import {
  ClosedError,
  HandshakeError,
  ProtocolError,
  type ShoalError,
  TimeoutError,
  TransportError,
  UnroutableError,
} from "../core/errors.js";
import { type EventsOf, event } from "../core/event-stream.js";
import { DriverTimer } from "../core/timers.js";
import { checkWait, IdleWaits, ignore, Waiter, withTimeout } from "../core/waiter.js";
import { Driver } from "../kit/driver.js";
import { checkOptions, type Given } from "../kit/options.js";
import { type ChannelLink, LinkChannel } from "./channel.js";
import { ChannelKind, LinkCode, MAX_NAME } from "./frames.js";
import {
  type CheckedOptions,
  checkLinkOptions,
  type LINK_OPTIONS,
  linkKeys,
  OPEN_OPTIONS,
  type OpenChannelOptions,
} from "./options.js";
import { type ChannelState, type LinkEffects, LinkRules } from "./rules.js";
import { type Agreement, Handshake, type HandshakeFailure, RecordOpener, RecordSealer } from "./security.js";

/** Bytes of the first batch: a system call per frame costs more than copying. */
const BATCH_BYTES = 131_072;

const FAILURES: Readonly<Record<HandshakeFailure, string>> = {
  hello: "the other end is not a link",
  version: "the other end speaks an older version of links",
  role: "both ends have the same role: one is the initiator, the other the responder",
  reflected: "the stream leads back to this link itself",
  password: "the other end has another password",
  "password-missing": "the other end asks for a password, and this end has none",
  "password-unexpected": "this end asks for a password, and the other end has none",
  refused: "the other end refused this end's password",
};

export type MultiplexLinkOptions = Omit<Given<typeof LINK_OPTIONS>, "onChannel"> & {
  /**
   * Called with each channel of the peer; may be async. Without it, or if it throws synchronously, channels are
   * refused.
   */
  readonly onChannel?: ((channel: LinkChannel, link: MultiplexLink) => unknown) | undefined;
};

const EVENTS = {
  /** By this end (`isOwn`) or the peer. */
  "channel:opened": event<{ readonly name: string; readonly id: number; readonly isOwn: boolean }>(),
  "channel:closed": event<{ readonly name: string; readonly id: number; readonly isOwn: boolean }>(),
  "handler:failed": event<{ readonly name: string; readonly error: unknown }>(),
  /** The peer accepts no new channels. */
  "link:draining": event<{ readonly reason: string }>(),
  "link:ended": event<{ readonly error?: ShoalError | undefined }>(),
};

export type MultiplexLinkEvent = EventsOf<typeof EVENTS>;

export interface MultiplexLinkStats {
  readonly channels: number;
  /** Totals, opened by this end, by the peer, and refused here. */
  readonly opened: number;
  readonly accepted: number;
  readonly refused: number;
  readonly windowBytes: number;
  readonly unreadBytes: number;
  /** Bytes waiting for credit or their turn. */
  readonly waitingBytes: number;
}

type OnChannel = NonNullable<MultiplexLinkOptions["onChannel"]>;

/** Owner of an own channel that the peer has not accepted. */
type PendingOpen = Waiter<LinkChannel>;

/**
 * Many channels over one stream, created by {@link openLink}.
 *
 * @example
 * ```ts
 * import { duplexPair, pipeline } from "node:stream"; // duplexPair in place of two sockets.
 * import { openLink } from "shoal/link";
 *
 * const [here, there] = duplexPair();
 * const password = "correct horse battery staple";
 * const serving = openLink(there, { role: "responder", password, onChannel: (channel) => pipeline(channel, channel, () => {}) });
 * const link = await openLink(here, { role: "initiator", password });
 * const channel = await link.open("echo");
 * channel.end("hello");
 * for await (const piece of channel) console.log(String(piece)); // hello
 * await link.close();
 * await (await serving).close();
 * ```
 */
export class MultiplexLink extends Driver<MultiplexLinkEvent, MultiplexLinkStats> {
  readonly isEncrypted: boolean;
  /** The other end's "host:port" if the stream is a socket. */
  readonly address: string | undefined;
  readonly #duplex: Duplex;
  readonly #settings: CheckedOptions;
  readonly #rules: LinkRules;
  /** Silence while the process paused proves nothing. */
  readonly #timer = new DriverTimer(1_000);
  readonly #channels = new Map<number, LinkChannel>();
  readonly #sealer: RecordSealer | undefined;
  readonly #opener: RecordOpener | undefined;
  readonly #inside: ChannelLink;
  #isFlushing = false;
  #ended = false;
  #error: ShoalError | undefined;
  #batchBytes = BATCH_BYTES;
  #taken: LinkChannel[] = [];
  readonly #idleWaits = new IdleWaits();

  /** @internal */
  constructor(duplex: Duplex, agreement: Agreement, settings: CheckedOptions, first: Buffer) {
    super("MultiplexLink", EVENTS);
    this.#duplex = duplex;
    this.#settings = settings;
    this.address = addressOf(duplex);
    const { seals, isInitiator, peerWindow, peerMaxChannels } = agreement;
    this.isEncrypted = seals !== undefined;
    this.#sealer = seals === undefined ? undefined : new RecordSealer(seals.out);
    this.#opener = seals === undefined ? undefined : new RecordOpener(seals.in);
    this.#rules = new LinkRules(
      { ...settings, isFirst: isInitiator, peerWindow, peerMaxChannels },
      this.#effects(),
      this.#timer.now(),
    );
    const rules = this.#rules;
    this.#inside = {
      rules,
      now: () => this.#timer.now(),
      batchBytes: () => this.#batchBytes,
      onChannelClosed: (channel) => this.#onChannelClosed(channel),
    };
    this.#timer.hold(false);
    this.#timer.start({
      nextWakeUp: () => rules.nextWakeUp(),
      tick: (now) => rules.tick(now),
    });
    duplex.on("data", (chunk: Buffer) => this.#onBytes(chunk));
    duplex.on("end", () => this.#onStreamEnd());
    duplex.on("error", (error) => this.#end(this.#lost(error.message, error)));
    duplex.on("close", () => this.#end(this.#lost("the stream was closed")));
    // The caller gets the link first, since data may open channels.
    process.nextTick(() => {
      if (first.length > 0) this.#onBytes(first);
      // It may have ended already.
      const { errored } = duplex;
      if (errored) this.#end(this.#lost(errored.message, errored));
      else if (duplex.readableEnded || duplex.destroyed)
        this.#end(this.#lost("the other end closed the stream"));
      else duplex.resume();
    });
  }

  get channels(): readonly LinkChannel[] {
    return [...this.#channels.values()];
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Opens a channel; names need not be unique.
   *
   * @param name 1 to 255 bytes
   * @returns once the peer has accepted it
   * @throws TransportError `ECONNREFUSED` by the peer, `EMFILE` at a limit of either end, `ERR_TRANSPORT` when the link
   *   ends; TimeoutError `ETIMEDOUT`; AbortedError `ABORT_ERR`; ClosedError `EBADF`, `EAGAIN` while draining;
   *   InvalidArgumentError `EINVAL`
   */
  open(name: string, options: OpenChannelOptions = {}): Promise<LinkChannel> {
    return this.run(async () => this.#open(name, options, ChannelKind.BYTES));
  }

  /** @internal */
  openMessages(name: string, options: OpenChannelOptions = {}): Promise<LinkChannel> {
    return this.run(async () => this.#open(name, options, ChannelKind.MESSAGES));
  }

  #open(name: string, options: OpenChannelOptions, kind: number): Promise<LinkChannel> {
    const { timeout, signal } = checkOptions("MultiplexLink.open", OPEN_OPTIONS, options);
    checkWait({ timeout, signal });
    checkName(name);
    if (this.#ended) throw this.#error ?? new ClosedError("EBADF", "The link has ended");
    this.assertOpen();
    const refusal = this.#rules.refusal();
    if (refusal === "closing") throw new ClosedError("EAGAIN", "The other end accepts no new channels");
    if (refusal !== undefined)
      throw new TransportError("EMFILE", `No further channel on this link: ${refusal}`);
    const state = this.#rules.open({ kind, name }, this.#timer.now());
    const waiter = new Waiter<LinkChannel>(
      timeout,
      signal,
      () => new TimeoutError("ETIMEDOUT", `The other end did not accept channel ${describe(name)} in time`),
      () => {
        this.#rules.reset(state, LinkCode.CLOSED, "given up");
        this.#noteIdle();
      },
    );
    state.owner = waiter;
    if (signal === undefined) return waiter.promise;
    return waiter.promise.then((channel) => addAbortSignal(signal, channel));
  }

  stats(): MultiplexLinkStats {
    const rules = this.#rules;
    let unreadBytes = 0;
    let waitingBytes = 0;
    for (const state of rules.channels.values()) {
      unreadBytes += state.window.unread;
      waitingBytes += state.waitingBytes;
    }
    return {
      channels: this.#channels.size,
      opened: rules.opened,
      accepted: rules.accepted,
      refused: rules.refused,
      windowBytes: rules.windowBytes,
      unreadBytes,
      waitingBytes,
    };
  }

  /** @internal */
  protected override async onDrain(): Promise<void> {
    this.#rules.goaway(LinkCode.CLOSED, "draining");
    await this.#idle();
  }

  /** @internal */
  protected override async onClose(linger: number): Promise<void> {
    if (this.#ended) return;
    this.#rules.goaway(LinkCode.CLOSED, "closing");
    if (linger !== 0) await withTimeout(this.#idle(), linger);
    await this.#endOnPurpose(linger !== 0);
  }

  #idle(): Promise<void> {
    return this.#idleWaits.wait(this.#ended || this.#rules.channels.size === 0);
  }

  /** @param waits for the other end to close: closing a tcp socket while bytes arrive resets it */
  async #endOnPurpose(waits: boolean): Promise<void> {
    if (this.#ended) return;
    for (const channel of this.channels) channel.destroy();
    this.#flush();
    this.#end(undefined, true);
    await this.#endStream(waits);
  }

  async #endStream(waits: boolean): Promise<void> {
    const duplex = this.#duplex;
    const ended = new Promise<void>((resolve) => {
      duplex.once("close", resolve);
      if (waits) duplex.once("end", resolve);
      duplex.end(() => {
        if (!waits || duplex.readableEnded) resolve();
      });
    });
    await withTimeout(ended, 1_000);
    duplex.destroy();
  }

  #effects(): LinkEffects {
    return {
      onIncoming: (state) => this.#onIncoming(state),
      onAccepted: (state) => this.#onAccepted(state),
      onData: (state, bytes) => (state.owner as LinkChannel).receive(bytes),
      onFinished: (state) => (state.owner as LinkChannel).finish(),
      onReset: (state, code, reason) => this.#onReset(state, code, reason),
      onTaken: (state) => this.#taken.push(state.owner as LinkChannel),
      onGoaway: (_code, reason) => this.events.emit({ type: "link:draining", reason }),
      onFailed: (code, reason) => this.#onFailed(code, reason),
      onWritable: () => this.#scheduleFlush(),
    };
  }

  #onIncoming(state: ChannelState): string | undefined {
    const { onChannel } = this.#settings;
    const { name } = state;
    if (onChannel === undefined || this.stopping) return "no channels are accepted";
    const channel = this.#admit(state);
    const failed = (error: unknown): void => {
      if (!isInstance(error, UnroutableError)) this.events.emit({ type: "handler:failed", name, error });
      channel.on("error", ignore);
      channel.destroy(new ClosedError("EBADF", "The program refused the channel", { cause: error }));
    };
    try {
      const result = (onChannel as OnChannel)(channel, this);
      if (isThenable(result)) Promise.resolve(result).catch(failed);
      return undefined;
    } catch (error) {
      failed(error);
      return "refused";
    }
  }

  #onAccepted(state: ChannelState): void {
    const pending = state.owner as PendingOpen;
    const channel = this.#admit(state);
    // The next frame may end it before a promise's reactions run.
    channel.on("error", ignore);
    setImmediate(() => channel.off("error", ignore)); // The program has had a turn to listen.
    pending.resolve(channel);
  }

  #admit(state: ChannelState): LinkChannel {
    const channel = new LinkChannel(this.#inside, state);
    this.#channels.set(state.id, channel);
    this.events.emit({ type: "channel:opened", name: state.name, id: state.id, isOwn: state.isOwn });
    return channel;
  }

  #onChannelClosed(channel: LinkChannel): void {
    if (!this.#channels.delete(channel.id)) return;
    const { name, id, isOwn } = channel;
    this.events.emit({ type: "channel:closed", name, id, isOwn });
    this.#noteIdle();
  }

  #noteIdle(): void {
    if (this.#rules.channels.size > 0 && !this.#ended) return;
    this.#idleWaits.end();
  }

  #onReset(state: ChannelState, code: number, reason: string): void {
    const text = `Channel ${describe(state.name)} ${reason === "" ? "" : `(${reason}) `}`;
    if (state.owner instanceof LinkChannel) {
      const isFault = code !== LinkCode.CLOSED;
      state.owner.destroy(
        isFault ? new TransportError("ERR_TRANSPORT", `${text}was ended by the other end`) : undefined,
      );
    } else {
      const refusal = code === LinkCode.LIMIT ? "EMFILE" : "ECONNREFUSED";
      (state.owner as PendingOpen).reject(new TransportError(refusal, `${text}was refused`));
    }
    this.#noteIdle();
  }

  #onFailed(code: number, reason: string): void {
    const error =
      code === LinkCode.TIMEOUT
        ? new TimeoutError("ETIMEDOUT", `The link is silent: ${reason}`)
        : new ProtocolError(`The other end of the link violated the wire format: ${reason}`);
    this.#rules.goaway(code, reason);
    this.#flush();
    this.#end(error);
  }

  #onStreamEnd(): void {
    if (this.#ended) return;
    const error = this.#lost("the other end closed the stream");
    this.#end(error, error === undefined);
    if (error === undefined) void this.#endStream(false);
  }

  #lost(reason: string, cause?: unknown): ShoalError | undefined {
    // One end is closing and nothing is in flight; the program only has to read.
    if (this.#rules.isClosing && this.#rules.isFinished && cause === undefined) return undefined;
    return new TransportError("ERR_TRANSPORT", `The link ended: ${reason}`, { cause });
  }

  #end(error: ShoalError | undefined, keepsStream = false): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#timer.stop();
    const own = error ?? new ClosedError("EBADF", "The link was closed");
    for (const state of [...this.#rules.channels.values()]) {
      if (state.owner instanceof LinkChannel) continue;
      // Its acceptance may follow in the bytes that are being read.
      this.#rules.reset(state, LinkCode.CLOSED, "the link has ended");
      (state.owner as PendingOpen).abandon(own);
    }
    for (const channel of this.channels) if (error !== undefined || !channel.hasAll) channel.destroy(error);
    this.events.emit({ type: "link:ended", error });
    this.#noteIdle();
    if (!keepsStream) this.#duplex.destroy();
    if (!this.closed) void this.close({ linger: 0 });
  }

  #onBytes(chunk: Buffer): void {
    if (this.#ended) return;
    const now = this.#timer.now();
    if (this.#opener === undefined) this.#rules.receive(chunk, now);
    else {
      const failure = this.#opener.open(chunk, (bytes) => this.#rules.receive(bytes, now));
      if (failure !== undefined) this.#onFailed(LinkCode.PROTOCOL, failure);
    }
    this.#timer.update();
  }

  #scheduleFlush(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    process.nextTick(this.#flush);
  }

  readonly #flush = (): void => {
    this.#isFlushing = false;
    const duplex = this.#duplex;
    // With more unsent bytes new frames wait, so urgent ones pass soon.
    while (!this.#ended && !duplex.destroyed && duplex.writableLength < 131_072) {
      const limit = this.#batchBytes;
      const batch = this.#rules.take(limit);
      if (batch === undefined) return;
      const taken = this.#taken;
      if (taken.length > 0) this.#taken = [];
      const buffers = this.#sealer === undefined ? batch.buffers : this.#sealer.seal(batch.buffers);
      duplex.cork();
      const last = buffers.length - 1;
      for (let i = 0; i < last; i++) duplex.write(buffers[i]);
      duplex.write(buffers[last], (error) => {
        if (error != null) this.#end(this.#lost(error.message, error));
        for (const channel of taken) channel.flushed();
        if (this.#rules.hasFrames) this.#flush();
      });
      duplex.uncork();
      if (duplex.writableLength > 0) this.#batchBytes = Math.max(BATCH_BYTES, limit / 2);
      // The stream accepts batches within the call: each wakes the peer's process.
      else if (batch.bytes >= limit) this.#batchBytes = Math.min(524_288, 2 * limit);
    }
  };
}

/**
 * Makes a link of a stream (socket, TLS socket, HTTP upgrade, pipe) by the handshake, and takes it over.
 *
 * @param duplex unread, and not in object mode
 * @returns once both ends have proved any password
 * @throws HandshakeError `ERR_AUTHENTICATION` for different passwords or only one, `ERR_HANDSHAKE` for another kind of
 *   stream or two ends of one role; TransportError `ERR_TRANSPORT` when the stream ends; TimeoutError `ETIMEDOUT`;
 *   InvalidArgumentError `EINVAL`, which alone does not destroy the stream
 */
export async function openLink(duplex: Duplex, options: MultiplexLinkOptions = {}): Promise<MultiplexLink> {
  const settings = checkLinkOptions("openLink", options);
  if (duplex?.destroyed) throw new TransportError("ERR_TRANSPORT", "The stream is destroyed already");
  takeDuplex(duplex);
  (duplex as { setNoDelay?: (on: boolean) => void }).setNoDelay?.(true);
  // Failures before the handshake show in the stream's state.
  duplex.on("error", ignore);
  try {
    const keys = linkKeys(settings);
    const encrypt = settings.encrypt ?? keys.length > 0;
    const handshake = new Handshake({ ...settings, keys, encrypt });
    const rest = await exchange(duplex, handshake, settings.handshakeTimeout);
    return new MultiplexLink(duplex, handshake.agreement as Agreement, settings, rest);
  } catch (error) {
    duplex.destroy();
    throw error;
  }
}

/** @returns bytes after the handshake */
function exchange(duplex: Duplex, handshake: Handshake, timeout: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const release = (): void => {
      clearTimeout(timer);
      duplex.off("data", onData).off("error", onError).off("close", onClose).off("end", onClose);
    };
    const fail = (error: Error): void => {
      release();
      reject(error);
    };
    const lost = (reason: string, cause?: unknown): void =>
      fail(new TransportError("ERR_TRANSPORT", `The handshake failed: ${reason}`, { cause }));
    const onError = (error: Error): void => lost(error.message, error);
    const onClose = (): void => lost("the other end closed the stream");
    const send = (bytes: Buffer): void => void duplex.write(bytes);
    const onData = (chunk: Buffer): void => {
      const rest = handshake.receive(chunk, send);
      if (handshake.failure !== undefined) {
        release();
        // Sends a refusal first.
        duplex.end();
        setImmediate(reject, failureError(handshake.failure));
      } else if (handshake.agreement !== undefined) {
        release();
        duplex.pause();
        resolve(rest);
      }
    };
    const timer = setTimeout(
      () => fail(new TimeoutError("ETIMEDOUT", `The handshake was not done within ${timeout} ms`)),
      timeout,
    );
    duplex.on("data", onData).on("error", onError).on("close", onClose).on("end", onClose);
    if (duplex.errored) onError(duplex.errored);
    else if (duplex.destroyed || duplex.readableEnded) onClose();
    else send(handshake.hello);
  });
}

function failureError(failure: HandshakeFailure): HandshakeError {
  const isPassword = failure.startsWith("password") || failure === "refused";
  return new HandshakeError(
    isPassword ? "ERR_AUTHENTICATION" : "ERR_HANDSHAKE",
    `No link: ${FAILURES[failure]}`,
  );
}

/** @throws InvalidArgumentError `EINVAL` */
export function checkName(name: unknown): asserts name is string {
  const bytes = typeof name === "string" ? Buffer.byteLength(name) : 0;
  if (bytes < 1 || bytes > MAX_NAME)
    throw invalidArgument(`The name of a channel must have 1 to ${MAX_NAME} bytes`, name);
}

function addressOf(duplex: Duplex): string | undefined {
  const { remoteAddress, remotePort } = duplex as { remoteAddress?: string; remotePort?: number };
  if (remoteAddress === undefined) return undefined;
  const host = remoteAddress.includes(":") ? `[${remoteAddress}]` : remoteAddress;
  return `${host}:${remotePort}`;
}
