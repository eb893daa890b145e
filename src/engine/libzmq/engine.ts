import { InvalidArgumentError, NotSupportedError } from "../../core/errors.js";
import { checkEndpoint } from "../../core/schemes/schemes.js";
import type { SocketType } from "../../core/socket-type.js";
import type {
  Engine,
  EngineCapabilities,
  EngineContext,
  EngineListener,
  EngineOptions,
  EngineSocket,
} from "../engine.js";

import { loadNative, type Native, toShoalError, UNSUPPORTED_OPTIONS } from "./native.js";
import { LibzmqSocket, type Shared } from "./socket.js";

/** A monitor needs two more native sockets (monitor.ts). */
const NATIVE_SOCKETS_PER_SOCKET = 3;
/** For closed sockets not yet destroyed. */
const NATIVE_SOCKETS_SPARE = 256;

function capabilitiesOf(native: Native): EngineCapabilities {
  const transports = ["tcp", "ipc", "inproc", "pgm", "epgm", "tipc", "norm", "udp", "vmci", "ws", "wss"];
  const always = ["tcp", "inproc"];
  return {
    transports: transports.filter((name) => always.includes(name) || native.capability[name] === true),
    peerEvents: ["tcp", "ipc"],
    publisherDrops: false,
    conflatedSubscriptions: false,
    unsupportedOptions: UNSUPPORTED_OPTIONS,
  };
}

class LibzmqContext implements EngineContext {
  readonly #shared: Shared;
  #maxSockets = 1_023;

  constructor(native: Native, options: EngineOptions, shared: boolean) {
    const context = shared ? native.context : new native.Context();
    this.#shared = { native, context };
    this.setOption("maxSockets", this.#maxSockets);
    for (const [name, value] of Object.entries(options)) this.setOption(name, value);
  }

  open(type: SocketType, options: EngineOptions, listener: EngineListener): EngineSocket {
    return new LibzmqSocket(this.#shared, type, options, listener);
  }

  getOption(name: string): unknown {
    if (name === "lowLatency") return false;
    if (name === "maxSockets") return this.#maxSockets;
    return (this.#shared.context as unknown as Record<string, unknown>)[name];
  }

  setOption(name: string, value: unknown): void {
    if (name === "lowLatency") {
      if (value === true)
        throw new NotSupportedError(
          "Context option lowLatency: the engine libzmq waits in threads of its own",
        );
      return;
    }
    let actual = value;
    if (name === "maxSockets") {
      this.#maxSockets = Number(value);
      // At libzmq's own limit a failed observer leaves a monitor without a reader.
      const wanted = this.#maxSockets * NATIVE_SOCKETS_PER_SOCKET + NATIVE_SOCKETS_SPARE;
      actual = Math.min(wanted, this.#shared.context.maxSocketsLimit);
    }
    try {
      (this.#shared.context as unknown as Record<string, unknown>)[name] = actual;
    } catch (error) {
      if (error instanceof TypeError)
        throw new InvalidArgumentError(`Context option ${name}: ${error.message}`);
      throw toShoalError(error, `set context option ${name}`);
    }
  }
}

let engine: Engine | undefined;

/** @throws NotSupportedError `ERR_ENGINE_UNAVAILABLE` if the native addon cannot be loaded */
export function loadLibzmqEngine(): Engine {
  if (engine === undefined) {
    const native = loadNative();
    engine = {
      name: "libzmq",
      capabilities: Object.freeze(capabilitiesOf(native)),
      features: Object.freeze({ ...native.capability, draft: false }),
      checkEndpoint,
      createContext: (options, shared) => new LibzmqContext(native, options, shared),
    };
  }
  return engine;
}
