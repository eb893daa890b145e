/**
 * The engine of simulated nodes: the real zmtp over simulated transports and their streams.
 *
 *   tcp  tcp://NAME:PORT or tcp://ADDRESS:PORT of a node; *, localhost and 127.0.0.1 are the node itself
 *   ipc  within a node
 */

import { Duplex } from "node:stream";
import { TransportError } from "../core/errors.js";
import { formatHostPort, parseHostPort } from "../core/schemes/grammar.js";
import { ignore } from "../core/waiter.js";
import type { Engine } from "../engine/engine.js";
import { loadZmtpEngine, NODE_PARTS } from "../engine/zmtp/engine.js";
import { transportError } from "../engine/zmtp/errors.js";
import type { EngineParts } from "../engine/zmtp/parts.js";
import { ZmtpContext } from "../engine/zmtp/socket.js";
import { Reader } from "../engine/zmtp/transport/reader.js";
import type { Acceptor, Listener, Stream, Transport } from "../engine/zmtp/transport/transport.js";
import type { Platform } from "../engine/zmtp/transport/transports.js";
import { type LinkEnd, type Machine, systemError } from "./machine.js";
import { type Scope, scopes } from "./scope.js";

interface Place {
  readonly machine: Machine;
  readonly platform: Platform;
}

const places = new WeakMap<Scope, Place>();

export function place(scope: Scope, machine: Machine): void {
  places.set(scope, { machine, platform: platformOf(scope, machine) });
}

export function machineOf(scope: Scope): Machine {
  return (places.get(scope) as Place).machine;
}

/** Of the calling node; `undefined` outside of a simulation. */
export function currentPlatform(): Platform | undefined {
  const scope = scopes.getStore();
  return scope && places.get(scope)?.platform;
}

/** @param handOver gets the stream before its bytes */
function open(
  end: LinkEnd,
  remote: Pick<Stream, "remote" | "address">,
  handOver: (stream: Stream) => void,
): void {
  const reader = new Reader(false);
  const socket = new SimulatedStream(end, reader);
  socket.on("error", ignore);
  handOver({ socket, reader, ...remote, pending: () => socket.pending });
  socket.begin();
}

interface Naming {
  readonly scheme: string;
  /** Key and resolved form of a bound endpoint. */
  bound(machine: Machine, endpoint: string): { readonly key: string; readonly endpoint: string };
  target(machine: Machine, endpoint: string): { readonly machine: Machine; readonly key: string } | Error;
  remote(end: LinkEnd, endpoint: string): { readonly remote: string; readonly address: string };
}

const TCP: Naming = {
  scheme: "tcp",
  bound(machine, endpoint) {
    const { host, port } = parseHostPort(endpoint);
    if (machine.resolve(host) !== machine) {
      throw new TransportError("EADDRNOTAVAIL", `Cannot bind ${endpoint}: ${host} is not ${machine.name}`, {
        endpoint,
      });
    }
    const chosen =
      port === 0 ? machine.freePort((candidate) => machine.isListening(`tcp:${candidate}`)) : port;
    const address = host === "*" ? "0.0.0.0" : host === "localhost" ? "127.0.0.1" : host;
    return { key: `tcp:${chosen}`, endpoint: formatHostPort("tcp", address, chosen) };
  },
  target(machine, endpoint) {
    const { host, port } = parseHostPort(endpoint);
    const found = machine.resolve(host);
    if (found === undefined) return systemError("ENOTFOUND", "getaddrinfo", `unknown node ${host}`);
    return { machine: found, key: `tcp:${port}` };
  },
  remote({ peer, machine }) {
    const address = peer.machine === machine ? "127.0.0.1" : peer.machine.address;
    return { remote: formatHostPort("tcp", address, peer.port), address };
  },
};

const IPC: Naming = {
  scheme: "ipc",
  bound(machine, given) {
    const endpoint = given === "ipc://*" ? `ipc:///tmp/simulated-${machine.nextName()}` : given;
    return { key: endpoint, endpoint };
  },
  target: (machine, endpoint) => ({ machine, key: endpoint }),
  remote: (_, endpoint) => ({ remote: endpoint, address: endpoint.slice("ipc://".length) }),
};

function transport(naming: Naming, machine: Machine, scope: Scope): Transport {
  const listen = (endpoint: string, acceptor: Acceptor): Listener => {
    if (scope.gone) throw new TransportError("EADDRNOTAVAIL", `${scope.name} is down`, { endpoint });
    const bound = naming.bound(machine, endpoint);
    let stop: () => void;
    try {
      stop = machine.listen(bound.key, {
        scope,
        accept(end) {
          open(end, naming.remote(end, bound.endpoint), (stream) => acceptor.accepted(stream));
        },
      });
    } catch (error) {
      throw transportError(error, "bind", endpoint);
    }
    return {
      endpoint: bound.endpoint,
      async close() {
        stop();
      },
    };
  };
  return {
    scheme: naming.scheme,
    listenSync: (endpoint, _, acceptor) => listen(endpoint, acceptor),
    listen: async (endpoint, _, acceptor) => listen(endpoint, acceptor),
    dial(endpoint, { connectTimeout }, done) {
      if (scope.gone) return ignore;
      const target = naming.target(machine, endpoint);
      if (target instanceof Error) {
        const timer = scope.setTimer(() => done(target), 1, [], false);
        return () => timer.cancel();
      }
      let late: ReturnType<Scope["setTimer"]> | undefined;
      const stop = machine.dial(target.machine, target.key, scope, (result) => {
        late?.cancel();
        if (result instanceof Error) done(result);
        else open(result, naming.remote(result, endpoint), done);
      });
      if (connectTimeout > 0) {
        const fail = (): void => {
          stop();
          done(new Error(`no connection within ${connectTimeout} ms (connectTimeout)`));
        };
        late = scope.setTimer(fail, connectTimeout, [], false);
      }
      return () => {
        late?.cancel();
        stop();
      };
    },
  };
}

function platformOf(scope: Scope, machine: Machine): Platform {
  const transports = [TCP, IPC].map((naming) => transport(naming, machine, scope));
  return {
    transports: new Map(transports.map((each) => [each.scheme, each])),
    hostName: () => machine.name,
    interfaces: () => [
      { name: "lo", address: "127.0.0.1", netmask: "255.0.0.0", prefix: 8, internal: true },
      { name: "eth0", address: machine.address, netmask: "255.0.0.0", prefix: 8, internal: false },
    ],
    lookup: async (host) => {
      const found = machine.resolve(host);
      if (found !== undefined) return found === machine && host === "localhost" ? "127.0.0.1" : found.address;
      throw systemError("ENOTFOUND", "getaddrinfo", `unknown node ${host}`);
    },
  };
}

/** A simulated process ends without the real one. */
const PARTS: EngineParts = { ...NODE_PARTS, processEnd: undefined };
const zmtp = loadZmtpEngine();
const SCHEMES: readonly string[] = ["tcp", "ipc", "inproc"];

/**
 * The calling node's engine, the default in a simulation: zmtp over simulated tcp and ipc.
 *
 * Elsewhere the context's first socket throws TransportError `ERR_TRANSPORT`.
 */
export const simulated: Engine = {
  name: "simulated",
  capabilities: { ...zmtp.capabilities, transports: SCHEMES, peerEvents: SCHEMES },
  features: zmtp.features,
  checkEndpoint: zmtp.checkEndpoint,
  createContext(options) {
    const platform = currentPlatform();
    if (platform === undefined)
      throw new TransportError("ERR_TRANSPORT", "The simulated engine works within simulate() only");
    return new ZmtpContext(options, false, platform, PARTS);
  },
};

// --- Streams ---------------------------------------------------------------------------------------------------------

type Done = (error?: Error | null) => void;

/** A program's side of a simulated connection, like a `net.Socket` with `onread`. */
class SimulatedStream extends Duplex {
  readonly #end: LinkEnd;
  readonly #reader: Reader;
  #reading = false;
  #finished = false;
  #rest: Buffer | undefined = undefined;
  #taken = 0;
  #unwritten: { bytes: Uint8Array; readonly done: Done } | undefined = undefined;

  constructor(end: LinkEnd, reader: Reader) {
    super({ allowHalfOpen: false, autoDestroy: true });
    this.#end = end;
    this.#reader = reader;
    end.listener = this;
  }

  begin(): void {
    this.#reading = true;
    this.endOnReadable();
  }

  get pending(): number {
    return this.writableLength - this.#taken;
  }

  /** Nothing here keeps the process alive. */
  unref(): this {
    return this;
  }

  /** Waiting data is sent first. */
  destroySoon(): void {
    if (this.writableFinished) this.destroy();
    else this.end(() => this.destroy());
  }

  override pause(): this {
    this.#reading = false;
    return this;
  }

  override resume(): this {
    if (this.#reading) return this;
    this.#reading = true;
    process.nextTick(() => this.endOnReadable());
    return this;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _: string, done: Done): void {
    this.#put(chunk, done);
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: Done): void {
    this.#put(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: Done): void {
    this.#end.end();
    done();
  }

  override _destroy(error: Error | null, done: Done): void {
    if (this.#unwritten !== undefined) process.nextTick(this.#unwritten.done, error);
    this.#unwritten = undefined;
    // Data that the program has not read is untaken.
    this.#end.close(this.#rest !== undefined);
    done(error);
  }

  endOnReadable(): void {
    const { onread } = this.#reader;
    while (this.#reading && !this.destroyed) {
      const bytes = this.#rest ?? this.#end.take();
      this.#rest = undefined;
      if (bytes === undefined) break;
      const memory = onread.buffer();
      const length = Math.min(bytes.length, memory.length);
      memory.set(bytes.subarray(0, length));
      if (length < bytes.length) this.#rest = bytes.subarray(length);
      onread.callback(length, memory);
    }
    if (this.destroyed) return;
    const { failure } = this.#end;
    if (failure !== undefined) this.destroy(failure);
    else if (this.#end.ended && this.#rest === undefined && !this.#finished) {
      this.#finished = true;
      this.push(null);
      this.read(0);
    }
  }

  endOnWritable(): void {
    const waiting = this.#unwritten;
    if (waiting === undefined || this.destroyed) return;
    this.#unwritten = undefined;
    this.#put(waiting.bytes, waiting.done);
  }

  #put(bytes: Uint8Array, done: Done): void {
    const length = this.#end.write(bytes);
    if (length === bytes.length) {
      this.#taken = 0;
      done();
    } else {
      this.#taken += length;
      this.#unwritten = { bytes: bytes.subarray(length), done };
    }
  }
}
