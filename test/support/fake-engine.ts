/**
 * An engine in memory that does what a test asks: it takes or refuses
 * messages by script, receives what the test hands it, and sends its
 * notifications at once or when the test says. Its sockets have no peers.
 */
import { type OptionValues, optionValues, setOption } from "../../src/core/option-table.js";
import { checkEndpoint } from "../../src/core/schemes/schemes.js";
import { SocketType } from "../../src/core/socket-type.js";
import {
  type Engine,
  type EngineCapabilities,
  type EngineCloseResult,
  type EngineContext,
  type EngineEndpoints,
  type EngineEventLoop,
  type EngineListener,
  type EngineOptions,
  type EngineSocket,
  type EngineStats,
  type EngineSubscriptions,
  OfferResult,
  type OutgoingMessage,
} from "../../src/engine/engine.js";

/** When the engine calls upwards: within the call that caused it, or at {@link FakeEngine.deliver}. */
export type Notify = "at-once" | "when-told";

const CAPABILITIES: EngineCapabilities = {
  transports: ["inproc", "tcp", "ipc"],
  peerEvents: ["inproc"],
  publisherDrops: true,
  conflatedSubscriptions: true,
  unsupportedOptions: [],
};

export class FakeSocket implements EngineSocket, EngineEndpoints, EngineEventLoop, EngineSubscriptions {
  readonly endpoints: EngineEndpoints = this;
  readonly eventLoop: EngineEventLoop = this;
  readonly subscriptions: EngineSubscriptions | undefined;
  readonly relaySource = undefined;
  readonly relaySink = undefined;
  readonly policing = undefined;
  readonly type: SocketType;
  readonly options: OptionValues;
  readonly listener: EngineListener;
  /** What the engine took, in order. */
  readonly accepted: OutgoingMessage[] = [];
  /** What the next offers come to, before `room` is asked. */
  readonly verdicts: OfferResult[] = [];
  /** Received and not taken yet. */
  readonly incoming: Buffer[][] = [];
  /** The linger of each `close`. */
  readonly closes: number[] = [];
  /** What `close` will give; a promise that the test keeps makes it wait. */
  closing: EngineCloseResult | Promise<EngineCloseResult> = { drained: true, discarded: 0 };
  holding = false;
  wanted = 0;
  wantsWritable = false;
  peers = 0;
  #room = Number.POSITIVE_INFINITY;
  readonly #engine: FakeEngine;

  constructor(engine: FakeEngine, type: SocketType, options: EngineOptions, listener: EngineListener) {
    this.#engine = engine;
    this.type = type;
    this.options = optionValues(options);
    this.listener = listener;
    this.subscriptions = type === SocketType.Subscriber ? this : undefined;
  }

  /** How many more messages it takes before it is mute. */
  get room(): number {
    return this.#room;
  }
  set room(messages: number) {
    this.#room = messages;
    if (messages > 0) this.tellWritable();
  }

  /** Messages come in from the test or a peer. */
  arrive(...messages: Buffer[][]): void {
    this.incoming.push(...messages);
    this.#tellReadable();
  }

  tellWritable(): void {
    if (!this.wantsWritable) return;
    this.wantsWritable = false;
    this.#engine.notify(() => this.listener.engineOnWritable());
  }

  #tellReadable(): void {
    if (this.wanted === 0 || this.incoming.length === 0) return;
    this.wanted = 0;
    this.#engine.notify(() => this.listener.engineOnReadable());
  }

  async bind(endpoint: string): Promise<string> {
    return endpoint;
  }

  bindSync(endpoint: string): string {
    return endpoint;
  }

  async unbind(): Promise<void> {}
  connect(): undefined {}
  release(): void {}
  disconnect(): void {}

  offer(message: OutgoingMessage): OfferResult {
    const result = this.verdicts.shift() ?? this.#takeInRoom();
    if (result === OfferResult.Accepted) this.accepted.push(message);
    return result;
  }

  #takeInRoom(): OfferResult {
    if (this.#room <= 0) return OfferResult.Mute;
    this.#room -= 1;
    return OfferResult.Accepted;
  }

  wantWritable(): void {
    this.wantsWritable = true;
    if (this.writable) this.tellWritable();
  }

  take(): Buffer[] | undefined {
    return this.incoming.shift();
  }

  discard(): number {
    return this.incoming.splice(0).length;
  }

  wantReadable(max: number): void {
    this.wanted = max;
    this.#tellReadable();
  }

  get readable(): boolean {
    return this.incoming.length > 0;
  }

  get writable(): boolean {
    return this.#room > 0;
  }

  subscribe(): void {}
  unsubscribe(): void {}

  setOption(name: string, value: unknown): void {
    setOption(this.options, name, value);
  }

  ref(): void {
    this.holding = true;
  }

  unref(): void {
    this.holding = false;
  }

  holdBound(): void {}

  stats(): EngineStats {
    return { peers: this.peers, reconnects: 0, queuedIn: this.incoming.length, queuedOut: 0 };
  }

  async close(linger: number): Promise<EngineCloseResult> {
    this.closes.push(linger);
    return this.closing;
  }
}

export class FakeEngine implements Engine {
  readonly name = "fake";
  readonly capabilities = CAPABILITIES;
  readonly features = { curve: false, draft: false };
  readonly checkEndpoint = checkEndpoint;
  /** Every socket opened, oldest first. */
  readonly sockets: FakeSocket[] = [];
  readonly contexts: { readonly options: EngineOptions; readonly shared: boolean }[] = [];
  readonly #mode: Notify;
  readonly #due: (() => void)[] = [];

  constructor(mode: Notify = "at-once") {
    this.#mode = mode;
  }

  createContext(options: EngineOptions, shared: boolean): EngineContext {
    const values: Record<string, unknown> = { ioThreads: 1, blocky: true, ...options };
    this.contexts.push({ options, shared });
    return {
      open: (type, socketOptions, listener) => {
        const socket = new FakeSocket(this, type, socketOptions, listener);
        this.sockets.push(socket);
        return socket;
      },
      getOption: (name) => values[name],
      setOption: (name, value) => {
        values[name] = value;
      },
    };
  }

  /** The socket opened last. */
  get last(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error("The fake engine has opened no socket yet");
    return socket;
  }

  notify(call: () => void): void {
    if (this.#mode === "at-once") call();
    else this.#due.push(call);
  }

  /** Makes the calls upwards that are due, and those that they cause. */
  deliver(): void {
    for (let call = this.#due.shift(); call !== undefined; call = this.#due.shift()) call();
  }
}
