import { invalidArgument, suggest } from "../core/arguments.js";
import { InvalidArgumentError, TransportError } from "../core/errors.js";
import { INT32, type OptionSpec } from "../core/option-spec.js";
import { CONTEXT_OPTIONS, type OptionValues, type ValuesOf } from "../core/option-table.js";
import type { SocketType } from "../core/socket-type.js";
import type { Engine, EngineContext, EngineListener, EngineOptions, EngineSocket } from "../engine/engine.js";
import { selectEngine } from "../engine/select.js";
import { expected, isValid } from "./check-options.js";

/** Options of a context; all but `engine` and `lowLatency` as in the package `zeromq`. */
export interface ContextOptions extends Partial<ValuesOf<typeof CONTEXT_OPTIONS>> {
  /** A name of `ENGINE_NAMES`, or an {@link Engine}. Default: `SHOAL_ENGINE`, else "zmtp". */
  engine?: string | Engine;
}

const SHARED = Symbol("shared");

const NAMES: readonly string[] = Object.keys(CONTEXT_OPTIONS);
const WRITE_ONLY: readonly string[] = ["threadPriority", "threadSchedulingPolicy"];

/** The engine may have lower maximum values. */
function check(name: string, value: unknown): void {
  if (!Object.hasOwn(CONTEXT_OPTIONS, name)) {
    const known = [...NAMES, "engine"];
    const near = suggest(name, known) || `; known are ${known.join(", ")}`;
    throw new InvalidArgumentError(`Context has no option ${name}${near}`);
  }
  const spec: OptionSpec = CONTEXT_OPTIONS[name as keyof typeof CONTEXT_OPTIONS];
  if (isValid(spec, value)) return;
  throw invalidArgument(`Context option ${name} must be ${expected(spec)}`, value);
}

/**
 * A group of sockets; sockets without a context share the process-wide {@link context}. The first socket loads the
 * engine.
 *
 * @example
 * ```ts
 * import { Context, Pull, Push } from "shoal";
 *
 * const context = new Context(); // Its inproc names are its own.
 * const pull = new Pull({ context });
 * const push = new Push({ context });
 * await pull.bind("inproc://work");
 * push.connect("inproc://work");
 * await push.send("a piece of work");
 * console.log(String(await pull.receive())); // a piece of work
 * await Promise.all([push.close(), pull.close()]);
 * ```
 */
export class Context {
  readonly #shared: boolean;
  readonly #choice: string | Engine | undefined;
  readonly #options: Record<string, unknown> = {};
  static {
    for (const name of NAMES) {
      Object.defineProperty(Context.prototype, name, {
        configurable: true,
        get(this: Context) {
          return this.#get(name);
        },
        set(this: Context, value: unknown) {
          this.#set(name, value);
        },
      });
    }
  }
  #engine: Engine | undefined;
  #opened: EngineContext | undefined;
  #sockets = 0;
  /** Sockets that the program dropped without `close`. */
  readonly #forgotten = new FinalizationRegistry<undefined>(() => {
    this.#sockets -= 1;
  });

  /** @throws InvalidArgumentError `EINVAL` */
  constructor(options: ContextOptions = {}) {
    if (typeof options !== "object" || options === null) {
      throw new InvalidArgumentError(`Context options must be an object; got ${String(options)}`);
    }
    const { engine, ...rest } = options;
    for (const [name, value] of Object.entries(rest)) {
      if (value === undefined) continue;
      check(name, value);
      this.#options[name] = value;
    }
    this.#choice = engine;
    this.#shared = (options as { [SHARED]?: true })[SHARED] === true;
    if (engine !== undefined) this.#engine = selectEngine(engine);
    // Catches misspelt options.
    if (new.target === Context) Object.preventExtensions(this);
  }

  get engine(): string {
    return this.load().name;
  }

  /** The engine's limit for `maxSockets`; each libzmq socket takes three. */
  get maxSocketsLimit(): number {
    return this.#get("maxSocketsLimit") as number;
  }

  /** @internal The context itself, or its replacement in a simulation. */
  get actual(): Context {
    return (this.#shared ? standInForShared?.() : undefined) ?? this;
  }

  /** @internal */
  load(): Engine {
    const { actual } = this;
    if (actual !== this) return actual.load();
    this.#engine ??= selectEngine(this.#choice);
    return this.#engine;
  }

  /** @internal @throws TransportError `EMFILE` */
  openSocket(type: SocketType, options: EngineOptions, listener: EngineListener): EngineSocket {
    const opened = this.open();
    if (this.#sockets >= Number(opened.getOption("maxSockets")))
      throw new TransportError("EMFILE", `The context has ${this.#sockets} sockets already (maxSockets)`);
    const socket = opened.open(type, options, listener);
    this.#sockets += 1;
    this.#forgotten.register(socket, undefined, socket);
    return socket;
  }

  /** @internal */
  socketClosed(socket: EngineSocket): void {
    if (this.#forgotten.unregister(socket)) this.#sockets -= 1;
  }

  /** @internal */
  open(): EngineContext {
    const { actual } = this;
    if (actual !== this) return actual.open();
    this.#opened ??= this.load().createContext(this.#options, this.#shared);
    return this.#opened;
  }

  /** @internal */
  socketDefaults(): Readonly<Partial<OptionValues>> {
    const defaults: Partial<OptionValues> = {};
    if (this.#get("ipv6") === true) defaults.ipv6 = true;
    if (this.#get("blocky") === false) defaults.linger = 0;
    const largest = this.#get("maxMessageSize");
    if (typeof largest === "number" && largest < INT32) defaults.maxMessageSize = largest;
    return defaults;
  }

  #get(name: string): unknown {
    if (WRITE_ONLY.includes(name)) return undefined;
    if (this.#opened === undefined && Object.hasOwn(this.#options, name)) return this.#options[name];
    return this.open().getOption(name);
  }

  #set(name: string, value: unknown): void {
    check(name, value);
    // Other threads share the process-wide context, so its options are set in the engine.
    if (this.#opened === undefined && !this.#shared) this.#options[name] = value;
    else this.open().setOption(name, value);
  }
}
export interface Context extends Required<Omit<ContextOptions, "engine">> {}

/** Replaces the process-wide context in a simulation (src/testing). */
let standInForShared: (() => Context | undefined) | undefined;

/** @internal */
export function setStandIn(find: (() => Context | undefined) | undefined): void {
  standInForShared = find;
}

export const context: Context = new Context({ [SHARED]: true } as ContextOptions);
