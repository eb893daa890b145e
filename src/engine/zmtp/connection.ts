/**
 * One link over a byte stream, from its first byte to its last.
 *
 *   handshaking --READY--> open --drain--> flushing --all handed to the kernel--> draining --+
 *       |                   |                 |                                              |
 *       |                   +--halfClose--> halfClosed --peer hung up, or was silent--+      |
 *       |                   |                 |                                       |      |
 *       +--fault, timeout, EOF, close---------+---------------------------------------+------+--> closed
 *
 * flushing    sends the queue and discards input
 * draining    has hung up and waits for the peer's hang-up
 * halfClosed  has hung up and reads the peer to its end
 *
 * Every exit calls #end once. Nothing here throws.
 */
import { DEBUG, IS_DEBUG } from "../../core/diagnostics.js";
import type { OptionValues } from "../../core/option-table.js";
import { ignore } from "../../core/waiter.js";
import type { PeerCredentials } from "../engine.js";
import type { DisconnectReason } from "../events.js";
import { commandFrame } from "../frame.js";
import { parseCommand } from "./codec/command.js";
import type { StreamFault } from "./codec/in-stream.js";
import type { PooledBuffer } from "./codec/pooled-buffer.js";
import { noMemory, tooLargeText } from "./errors.js";
import { COMMAND_TOO_LONG, Handshake, MAX_HANDSHAKE_COMMAND } from "./handshake.js";
import { HeartbeatDriver, type HeartbeatLink } from "./heartbeat.js";
import {
  type Credentials,
  type Fault,
  type FrameSealer,
  handshakeFault,
  type Mechanism,
  type Metadata,
  type Step,
  type Verdict,
} from "./mechanism/mechanism.js";
import { heartbeatOptions } from "./options.js";
import type { CloseReason, Link, Pipe } from "./pipe.js";
import type { ByteStream, ReadTarget, Sink, StreamReader } from "./transport/reader.js";
import type { Framing, Stream } from "./transport/transport.js";
import { HANG_UP_TIMEOUT, PipeWriter, type Seal, type WriterEffects } from "./writer.js";

const NOTHING = Buffer.alloc(0);
/** Queued bytes that stop answers to PINGs. */
const MAX_UNANSWERED = 65_536;
/** ms for an ERROR to leave before its connection is cut. */
const FLUSH_TIMEOUT = 1_000;

const ROUTED_COMMANDS: ReadonlySet<string> = new Set(["SUBSCRIBE", "CANCEL", "JOIN", "LEAVE"]);

export interface ConnectionEffects {
  connectionOnReady(connection: Connection, metadata: Metadata): Pipe | Fault;
  connectionOnFlushed(connection: Connection): void;
  /** @param fault of a handshake */
  connectionOnEnd(connection: Connection, reason: DisconnectReason, fault: Fault | undefined): void;
  connectionOnAuthenticate(connection: Connection, peer: PeerCredentials): Promise<Verdict>;
}

const State = { Handshaking: 0, Open: 1, HalfClosed: 2, Flushing: 3, Draining: 4, Closed: 5 } as const;
type State = (typeof State)[keyof typeof State];

const TRANSITIONS: Readonly<Record<State, readonly State[]>> = {
  [State.Handshaking]: [State.Open, State.Closed],
  [State.Open]: [State.HalfClosed, State.Flushing, State.Closed],
  [State.HalfClosed]: [State.Closed],
  [State.Flushing]: [State.Draining, State.Closed],
  [State.Draining]: [State.Closed],
  [State.Closed]: [],
};

export class Connection implements Link, Sink, HeartbeatLink, WriterEffects {
  readonly socket: ByteStream;
  readonly address: string;
  readonly #reader: StreamReader;
  readonly stream: Stream;
  readonly #effects: ConnectionEffects;
  readonly #options: Readonly<OptionValues>;
  readonly #handshake: Handshake;
  readonly #framing: Framing | undefined;
  readonly #opensFirst: boolean;
  #state: State = State.Handshaking;
  #isOpening = false;
  #timer: NodeJS.Timeout | undefined = undefined;
  #pipe: Pipe | undefined = undefined;
  #sealer: FrameSealer | undefined = undefined;
  /** Received bytes go to the pipe unchanged. */
  #plain: boolean;
  #sentCloseFrame = false;
  #heartbeat: HeartbeatDriver | undefined = undefined;
  credentials: PeerCredentials | undefined = undefined;
  #writer: PipeWriter | undefined = undefined;
  #drainTimeout = 0;
  #holdTimer: NodeJS.Timeout | undefined = undefined;
  error: Error | undefined = undefined;
  tooLarge: string | undefined = undefined;

  constructor(
    stream: Stream,
    mechanism: Mechanism,
    options: Readonly<OptionValues>,
    effects: ConnectionEffects,
    dials: boolean,
    framing = stream.framing,
  ) {
    const { socket } = stream;
    this.socket = socket;
    this.address = stream.address;
    this.#effects = effects;
    this.#options = options;
    this.#framing = framing;
    this.#plain = framing === undefined;
    this.#handshake = new Handshake(mechanism, framing?.mechanism, framing?.notice);
    this.#reader = stream.reader;
    this.stream = stream;
    this.#opensFirst = dials || framing !== undefined || mechanism.opening === undefined;
  }

  start(): void {
    const { stream, socket } = this;
    stream.reader.start(socket, this);
    socket.on("error", this.#socketOnError);
    if (!this.#opensFirst) {
      // The greeting waits for the peer's first bytes, so that greeting and READY are one write and this side knows the
      // peer first. After two turns of the event loop it goes alone: the peer may wait for it. With unreferenced
      // immediates the loop would sleep until the next event.
      const open = () => {
        if (!this.#isOpening && this.#state === State.Handshaking) this.#open();
      };
      const openThen = () => setImmediate(() => setImmediate(open));
      // Deno fails a write (EPERM) while a TLS handshake is choosing a certificate.
      if (stream.opening === true) stream.onceOpen?.(openThen);
      else openThen();
    } else this.#open();
    if (this.#framing !== undefined)
      process.nextTick(() => {
        if (this.#state === State.Handshaking) this.#carryOut(this.#handshake.start());
      });
    const { handshakeInterval } = this.#options;
    if (handshakeInterval > 0 && this.#state === State.Handshaking) {
      this.#timer = setTimeout(() => this.#timerOnLate(), handshakeInterval).unref();
    }
  }

  #open(): void {
    this.#isOpening = true;
    const opening = this.#handshake.open();
    if (opening.length > 0) this.#send(opening);
  }

  get remote(): string {
    return this.stream.remote;
  }

  /** A STREAM's peers may never hang up. */
  get draining(): boolean {
    if (this.#isRaw) return false;
    return this.#state === State.Flushing || this.#state === State.Draining;
  }

  get #isRaw(): boolean {
    return this.#framing?.notice !== undefined;
  }

  get blocked(): boolean {
    return this.#writer?.blocked ?? true;
  }

  get prompt(): boolean {
    return this.stream.prompt === true && this.stream.framing === undefined;
  }

  get taken(): number {
    return (this.#writer?.given ?? 0) - this.stream.pending();
  }

  get commands(): boolean {
    return (this.#handshake.greeting?.minor ?? 0) >= 1;
  }

  flush(): void {
    this.#writer?.flush();
  }

  pause(): void {
    this.#reader.pause();
    this.#heartbeat?.pause();
  }

  resume(): void {
    this.#reader.resume();
    this.#heartbeat?.resume();
  }

  close(reason: CloseReason): void {
    this.#end(reason);
  }

  /** Ends a handshake. */
  fail(fault: Fault): void {
    this.#end(fault.kind === "protocol" ? "protocol" : "local", fault);
  }

  /**
   * @param timeout ms to wait for the peer's hang-up: new input would make the kernel discard unread bytes
   */
  drain(timeout: number): void {
    switch (this.#state) {
      case State.Handshaking:
      case State.HalfClosed:
        this.#end("local");
        return;
      case State.Open:
        this.#drainTimeout = Math.min(timeout, HANG_UP_TIMEOUT);
        this.#enter(State.Flushing);
        // The program of a STREAM has hung up.
        if (this.#isRaw && timeout === 0) this.#awaitProgress();
        // Input shows that the peer is alive, and so bounds the linger.
        this.resume();
        this.flush();
        return;
      default:
    }
  }

  #awaitProgress(): void {
    const { taken } = this;
    this.#timer = setTimeout(() => {
      if (this.taken > taken) this.#awaitProgress();
      else this.#end("local");
    }, HANG_UP_TIMEOUT).unref();
  }

  halfClose(): void {
    if (this.#state !== State.Open) return;
    this.#enter(State.HalfClosed);
    this.flush();
    this.#writer?.stop();
    this.#heartbeat?.stop();
    this.#endHalf();
    this.#timer = setTimeout(() => this.#timerOnSilence(), HANG_UP_TIMEOUT).unref();
  }

  /** Flushes at once. */
  sendPing(body: Buffer): void {
    if (this.#state === State.HalfClosed) return;
    const { writable, writableLength } = this.stream.socket;
    const ping = this.#framing?.ping?.();
    // The peer's limit holds for messages alone.
    if (ping === undefined ? this.blocked : !writable || writableLength > 0) return;
    if (ping !== undefined) {
      this.flush();
      this.#writer?.writeControl(ping);
      return;
    }
    this.#pipe?.sendRaw(commandFrame(body), 0);
    this.flush();
  }

  readTarget(): ReadTarget | undefined {
    return this.#state >= State.Flushing || !this.#plain ? undefined : this.#pipe?.in;
  }

  sinkFilled(length: number): void {
    const pipe = this.#pipe;
    if (this.#state === State.Closed || pipe === undefined) return;
    this.#heartbeat?.heard();
    if (this.#state !== State.Open && !this.#receivesOn()) return;
    this.#pushed(pipe, pipe.in.filled(length));
  }

  sinkOnBytes(bytes: Buffer, length: number, kept: boolean, pooled?: PooledBuffer): void {
    if (this.#state === State.Closed) return;
    if (this.#framing === undefined) this.#onFrames(bytes, length, kept, pooled);
    else this.#onFramed(this.#framing, bytes, length);
  }

  #onFramed(framing: Framing, bytes: Buffer, length: number): void {
    const pipe = this.#pipe;
    // A negative limit discards fragments.
    const maxSize = this.#state >= State.Flushing ? -1 : MAX_HANDSHAKE_COMMAND + (pipe?.in.room ?? length);
    const decoded = framing.decode(bytes, length, maxSize);
    const { assembled, pooled } = decoded;
    const kept = pooled !== undefined || decoded.kept === true;
    if (pipe !== undefined) pipe.in.fragments = framing.unfinished ?? 0;
    if (assembled !== undefined) this.#onFrames(assembled, assembled.length, true);
    if (decoded.length > 0 && !this.#isClosed()) this.#onFrames(decoded.bytes, decoded.length, kept, pooled);
    else {
      this.#heartbeat?.heard();
      // Fragments in the framing count towards the marks.
      if (pipe !== undefined && pipe.in.fragments > 0) pipe.arrived();
    }
    pooled?.release();
    const reply = framing.takeReply?.();
    if (this.#isClosed()) return;
    if (reply !== undefined && this.socket.writableLength < MAX_UNANSWERED) this.#control(reply);
    const { fault } = framing;
    if (fault !== undefined) {
      if (this.#pipe === undefined) this.fail(typeof fault === "string" ? COMMAND_TOO_LONG : fault);
      else this.#broken(fault);
    } else if (framing.closed) this.sinkOnEnd();
    else this.#writer?.relieve();
  }

  #isClosed(): boolean {
    return this.#state === State.Closed;
  }

  #onFrames(bytes: Buffer, length: number, kept: boolean, pooled?: PooledBuffer): void {
    const pipe = this.#pipe;
    if (pipe === undefined) {
      const before = this.#handshake.greeting;
      const steps = this.#handshake.receive(bytes, length);
      const { greeting } = this.#handshake;
      if (IS_DEBUG && greeting !== before) DEBUG("%s greeting %j", this.stream.remote, greeting);
      if (!this.#isOpening) this.#open();
      this.#carryOut(steps);
      return;
    }
    this.#heartbeat?.heard();
    if (this.#state !== State.Open && !this.#receivesOn()) return;
    const fault =
      this.#sealer === undefined
        ? kept
          ? pipe.in.push(bytes, 0, length, pooled)
          : pipe.in.pushShared(bytes, length)
        : this.#sealer.open(bytes, pipe.in, length);
    this.#pushed(pipe, fault);
  }

  #pushed(pipe: Pipe, fault: StreamFault | Fault | undefined): void {
    // A command may have closed the connection; the next one's bytes must not join a cut frame.
    if (this.#isClosed()) pipe.in.cut();
    pipe.arrived();
    if (fault !== undefined) this.#broken(fault);
  }

  #receivesOn(): boolean {
    if (this.#state !== State.HalfClosed) return false;
    this.#timer?.refresh();
    return true;
  }

  #carryOut(steps: readonly Step[]): void {
    for (const step of steps) {
      if (this.#state === State.Closed) return;
      if (step.send !== undefined) for (const body of step.send) this.#send(commandFrame(body));
      if (step.wait !== undefined) this.#wait(step.wait);
      if (step.ask !== undefined) this.#ask(step.ask);
      if (step.failed !== undefined) this.fail(step.failed);
      if (step.done !== undefined) this.#ready(step.done);
    }
  }

  #ask(claim: Credentials): void {
    const { certificate } = this.stream;
    const peer: PeerCredentials = {
      ...claim,
      address: this.address,
      domain: this.#options.zapDomain ?? "",
      ...(certificate === undefined ? {} : { certificate }),
    };
    this.credentials = peer;
    this.#reader.pause();
    const authenticated = (verdict: Verdict): void => this.#goOn(this.#handshake.authenticated(verdict));
    // A failing hook refuses the peer.
    Promise.resolve()
      .then(() => this.#effects.connectionOnAuthenticate(this, peer))
      .then(authenticated, (cause: unknown) => authenticated({ status: 400, cause }));
  }

  #wait(loading: Promise<void>): void {
    this.#reader.pause();
    loading.then(
      () => this.#goOn(this.#handshake.loaded()),
      ({ message }: Error) => this.fail(handshakeFault(message)),
    );
  }

  #goOn(steps: readonly Step[]): void {
    if (this.#state === State.Closed) return;
    this.#reader.resume();
    this.#carryOut(steps);
  }

  #ready(metadata: Metadata): void {
    const pipe = this.#effects.connectionOnReady(this, metadata);
    if ("code" in pipe) {
      this.fail(pipe);
      return;
    }
    // A listener may have ended the connection.
    if (this.#state === State.Closed) return;
    this.#enter(State.Open);
    const framing = this.#framing;
    const { sealer } = this.#handshake.mechanism;
    this.#sealer = sealer;
    this.#plain = framing === undefined && sealer === undefined;
    this.#pipe = pipe;
    const seal = sealOf(sealer, framing);
    this.#writer = new PipeWriter(this.socket, pipe, seal, framing, this);
    if (this.#options.heartbeatInterval > 0 && this.pings) this.#beat();
    const rest = this.#handshake.takeRemaining();
    this.flush();
    if (rest.length > 0) this.#onFrames(rest, rest.length, false);
  }

  /**
   * Whether PINGs may be sent between messages: not to a peer of version 3.0 (23/ZMTP), or to a thread, which may compute
   * for long and whose end is noticed.
   */
  get pings(): boolean {
    if (this.stream.inProcess === true) return false;
    return this.#framing === undefined ? this.commands : this.#framing.pings !== false;
  }

  #send(frame: Buffer): void {
    const framing = this.#framing;
    if (framing?.encode === undefined) {
      this.socket.write(frame);
      return;
    }
    this.socket.write(Buffer.from(framing.encode([{ bytes: frame, start: 0, end: frame.length }])));
    framing.release?.();
  }

  #control(bytes: Uint8Array): void {
    if (this.#writer === undefined) this.socket.write(bytes);
    else this.#writer.writeControl(bytes);
  }

  /** `false`: the command is for the socket type. */
  command(body: Buffer): boolean {
    const command = parseCommand(body);
    if (command === undefined) return true; // Ignored, as libzmq does.
    if (command.name === "PING") {
      if (this.#state === State.Closed) return true;
      const pong = this.#beat().ping(command.data);
      const pipe = this.#pipe;
      const answers = pong !== undefined && pipe !== undefined && this.#state !== State.HalfClosed;
      if (answers && pipe.out.bytes < MAX_UNANSWERED) pipe.sendRaw(commandFrame(pong), 0);
      return true;
    }
    return !ROUTED_COMMANDS.has(command.name);
  }

  #beat(): HeartbeatDriver {
    if (this.#heartbeat === undefined) {
      const heartbeat = heartbeatOptions(this.#options);
      const options = this.pings ? heartbeat : { ...heartbeat, interval: 0 };
      this.#heartbeat = new HeartbeatDriver(options, this);
      // A pipe still full from its last connection starts paused.
      if (this.#pipe?.paused === true) this.#heartbeat.pause();
    }
    return this.#heartbeat;
  }

  writerOnEmpty(): void {
    if (this.#state === State.Flushing) this.#hangUp();
    else if (this.#state !== State.Draining) this.#pipe?.relieved();
  }

  writerOnFault(error: Error): void {
    this.error = error;
    this.#end("local");
  }

  #hangUp(): void {
    this.#enter(State.Draining);
    this.#heartbeat?.stop();
    this.#endHalf();
    this.#reader.resume();
    this.#timer = setTimeout(() => this.#end("local"), HANG_UP_TIMEOUT).unref();
    if (this.#drainTimeout > 0 && this.#writer?.wrote === true && !this.#isRaw)
      this.#holdTimer = setTimeout(ignore, this.#drainTimeout);
    this.#effects.connectionOnFlushed(this);
  }

  #endHalf(): void {
    this.#sendCloseFrame(true);
    this.socket.end();
  }

  #sendCloseFrame(isRegular: boolean): void {
    if (this.#framing?.closeFrame === undefined || this.#sentCloseFrame) return;
    this.#sentCloseFrame = true;
    this.socket.write(this.#framing.closeFrame(isRegular));
  }

  #timerOnLate(): void {
    const { handshakeInterval } = this.#options;
    this.fail(handshakeFault(`the ${this.#handshake.phase} did not end within ${handshakeInterval} ms`));
  }

  /** Silence is ignored while this side has paused reading. */
  #timerOnSilence(): void {
    if (this.#pipe?.paused === true) this.#timer?.refresh();
    else this.#end("local");
  }

  heartbeatOnGone(): void {
    this.#end("heartbeat");
  }

  #socketOnError = (error: Error): void => {
    this.error ??= error;
  };

  sinkOnEnd(): void {
    this.#end(this.draining ? "local" : "remote");
  }

  #broken(fault: StreamFault | Fault): void {
    const isOurs = fault === "no-memory";
    if (isOurs) this.error = noMemory();
    else if (typeof fault !== "string") this.error = new Error(fault.message);
    else {
      this.tooLarge = tooLargeText(fault, (this.#pipe as Pipe).in);
      const what = this.tooLarge === undefined ? STREAM_FAULTS[fault] : `the peer sent ${this.tooLarge}`;
      this.error = new Error(what);
    }
    this.#end(isOurs ? "local" : "protocol");
  }

  #cutShort(): Fault {
    const { phase } = this.#handshake;
    // Behind an upgrade the server has answered.
    const fault = this.stream.fault?.(phase === "greeting" && this.stream.framing === undefined);
    if (fault !== undefined) return fault;
    const suspicion = phase === "greeting" ? "it may not speak ZMTP 3" : this.#handshake.mechanism.suspicion;
    const why = suspicion === undefined ? "" : `: ${suspicion}`;
    return handshakeFault(`the peer hung up during the ${phase}${why}`);
  }

  #enter(next: State): void {
    if (!TRANSITIONS[this.#state].includes(next)) throw new Error(`No transition ${this.#state} -> ${next}`);
    this.#state = next;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #end(reason: DisconnectReason, given?: Fault): void {
    if (this.#state === State.Closed) return;
    this.#enter(State.Closed);
    this.#writer?.stop();
    clearTimeout(this.#holdTimer);
    this.#heartbeat?.stop();
    // A libzmq client hangs up like this if the greeting names another mechanism.
    const fault = reason === "remote" && this.#pipe === undefined ? this.#cutShort() : given;
    if (reason !== "heartbeat") this.#sendCloseFrame(reason !== "protocol" && given === undefined);
    // Bytes already written, such as an ERROR, still leave.
    const leaves = this.#pipe === undefined && this.stream.opening !== true;
    if (this.socket.writableLength === 0 || !leaves) this.socket.destroy();
    else {
      this.socket.end(() => this.socket.destroy());
      setTimeout(() => this.socket.destroy(), FLUSH_TIMEOUT).unref();
    }
    const notice = this.#framing?.notice ?? NOTHING;
    if (notice.length > 0 && this.#pipe !== undefined) {
      this.#pipe.in.push(notice);
      this.#pipe.arrived();
    }
    this.#effects.connectionOnEnd(this, reason, fault);
  }
}

function sealOf(sealer: FrameSealer | undefined, framing: Framing | undefined): Seal | undefined {
  const encode = framing?.encode?.bind(framing);
  if (encode === undefined) return sealer === undefined ? undefined : (pieces) => sealer.seal(pieces);
  return (pieces) => {
    const bytes = encode(sealer?.seal(pieces) ?? pieces);
    return [{ bytes, start: 0, end: bytes.length }];
  };
}

const STREAM_FAULTS: Partial<Record<StreamFault, string>> = {
  "reserved-bits": "the peer set reserved bits in a frame's flags (37/ZMTP, Framing)",
  "command-too-long": "the peer's command is longer than any command is",
};
