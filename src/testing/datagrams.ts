/**
 * Simulated UDP for `createSocket` of `node:dgram`, by the options of links. Multicast (224.0.0.0 to 239.255.255.255)
 * and the broadcast addresses 255.255.255.255 and 10.255.255.255 reach every connected node. A full receive buffer loses
 * datagrams.
 */
import { EventEmitter } from "node:events";
import { type Machine, systemError } from "./machine.js";
import type { Scope } from "./scope.js";

/** Bytes for a paused program (Linux, net.core.rmem_default). */
const RECEIVE_BUFFER = 212_992;
const MAX_DATAGRAM = 65_507;
/** Of every network, and of the one that all nodes are in. */
const BROADCAST = new Set(["255.255.255.255", "10.255.255.255"]);

interface RemoteInfo {
  readonly address: string;
  readonly family: "IPv4";
  readonly port: number;
  readonly size: number;
}

/** Sockets by machine and port, which multicast sockets may share. */
const bound = new WeakMap<Machine, Map<number, Set<SimulatedDatagrams>>>();

function portsOf(machine: Machine): Map<number, Set<SimulatedDatagrams>> {
  let ports = bound.get(machine);
  if (ports === undefined) {
    ports = new Map();
    bound.set(machine, ports);
  }
  return ports;
}

type Sent = (error: Error | null, bytes?: number) => void;

export class SimulatedDatagrams extends EventEmitter {
  readonly #machine: Machine;
  readonly #scope: Scope;
  readonly #shares: boolean;
  readonly #groups = new Set<string>();
  readonly #boot: number;
  #port = 0;
  #loopback = true;
  #closed = false;
  #waiting = 0;

  constructor(machine: Machine, scope: Scope, options: unknown, onMessage?: unknown) {
    super();
    this.#machine = machine;
    this.#scope = scope;
    this.#boot = machine.boot;
    this.#shares =
      typeof options === "object" && (options as { reuseAddr?: boolean } | null)?.reuseAddr === true;
    if (typeof onMessage === "function") this.on("message", onMessage as () => void);
  }

  bind(...args: unknown[]): this {
    const [first] = args;
    const options =
      typeof first === "object" && first !== null ? (first as { port?: number }) : { port: first };
    const listener = args.find((arg) => typeof arg === "function") as (() => void) | undefined;
    if (listener !== undefined) this.once("listening", listener);
    const port = typeof options.port === "number" ? options.port : 0;
    try {
      this.#take(port);
    } catch (error) {
      this.#later(() => this.emit("error", error));
      return this;
    }
    this.#later(() => this.emit("listening"));
    return this;
  }

  /** What a listener throws fails the simulation. */
  #later(what: () => void): void {
    process.nextTick(() => this.#scope.guard(what));
  }

  #take(wanted: number): void {
    const ports = portsOf(this.#machine);
    const openAt = (port: number) => [...(ports.get(port) ?? [])].filter((socket) => socket.#isOpen);
    const port = wanted === 0 ? this.#machine.freePort((candidate) => openAt(candidate).length > 0) : wanted;
    const there = openAt(port);
    if (there.some((socket) => !socket.#shares || !this.#shares))
      throw systemError("EADDRINUSE", "bind", `port ${port}`);
    ports.set(port, new Set([...there, this]));
    this.#port = port;
  }

  get #isOpen(): boolean {
    return !this.#closed && !this.#scope.gone && this.#machine.on && this.#boot === this.#machine.boot;
  }

  address(): { address: string; family: "IPv4"; port: number } {
    if (this.#port === 0) throw systemError("EBADF", "getsockname", "not bound");
    return { address: "0.0.0.0", family: "IPv4", port: this.#port };
  }

  /** Overloads: `(message, [offset, length,] port, address, callback)`. */
  send(message: unknown, ...args: unknown[]): void {
    const sent = typeof args.at(-1) === "function" ? (args.pop() as Sent) : undefined;
    let bytes = bytesOf(message);
    if (typeof args[1] === "number") {
      const [offset, length] = args.splice(0, 2) as [number, number];
      bytes = bytes.subarray(offset, offset + length);
    }
    const [port, address = "127.0.0.1"] = args as [number, string?];
    if (this.#closed) throw systemError("ERR_SOCKET_DGRAM_NOT_RUNNING", "send", "not running");
    if (this.#port === 0) this.#take(0);
    const error =
      bytes.length > MAX_DATAGRAM ? systemError("EMSGSIZE", "send", `${bytes.length} bytes`) : null;
    if (error === null && this.#isOpen)
      for (const target of this.#targets(address)) this.#sendTo(target, port, address, bytes);
    if (sent !== undefined) this.#later(() => sent(error, bytes.length));
    else if (error !== null) this.#later(() => this.emit("error", error));
  }

  #targets(address: string): Machine[] {
    const first = Number(address.split(".")[0]);
    if ((first >= 224 && first <= 239) || BROADCAST.has(address)) return [...this.#machine.machines.all()];
    const target = this.#machine.resolve(address);
    return target === undefined ? [] : [target];
  }

  #sendTo(target: Machine, port: number, address: string, bytes: Buffer): void {
    if (target === this.#machine && !this.#loopback && address.startsWith("2")) return;
    const { fabric } = target.machines;
    const { schedule } = fabric;
    const [from, to] = [this.#machine.name, target.name];
    const info: RemoteInfo = {
      address: from === to ? "127.0.0.1" : this.#machine.address,
      family: "IPv4",
      port: this.#port,
      size: bytes.length,
    };
    if (!fabric.passes(from, to)) return;
    for (const delay of fabric.datagramDelays(from, to, bytes.length)) {
      schedule.at(schedule.now + delay, undefined, "datagram", () => {
        if (!target.on || target.suspended || !fabric.passes(from, to)) return;
        schedule.digest.bytes(bytes);
        for (const socket of portsOf(target).get(port) ?? []) socket.#arrived(bytes, info, address);
      });
    }
  }

  #arrived(bytes: Buffer, info: RemoteInfo, address: string): void {
    if (!this.#isOpen || this.#waiting + bytes.length > RECEIVE_BUFFER) return;
    const first = Number(address.split(".")[0]);
    if (first >= 224 && first <= 239 && !this.#groups.has(address)) return;
    this.#waiting += bytes.length;
    this.#scope.schedule.runAs(this.#scope, "datagram", () => {
      this.#waiting -= bytes.length;
      if (!this.#closed) this.emit("message", Buffer.from(bytes), info);
    });
  }

  addMembership(group: string): void {
    this.#groups.add(group);
  }

  dropMembership(group: string): void {
    this.#groups.delete(group);
  }

  setMulticastLoopback(on: boolean): boolean {
    this.#loopback = on;
    return on;
  }

  /** There is one subnet. */
  setMulticastTTL(ttl: number): number {
    return ttl;
  }

  setTTL(ttl: number): number {
    return ttl;
  }

  setBroadcast(): void {}

  setMulticastInterface(): void {}

  setRecvBufferSize(): void {}

  setSendBufferSize(): void {}

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  close(onClose?: () => void): this {
    if (this.#closed) throw systemError("ERR_SOCKET_DGRAM_NOT_RUNNING", "close", "not running");
    this.#closed = true;
    if (onClose !== undefined) this.once("close", onClose);
    portsOf(this.#machine).get(this.#port)?.delete(this);
    this.#later(() => this.emit("close"));
    return this;
  }
}

function bytesOf(message: unknown): Buffer {
  if (Array.isArray(message)) return Buffer.concat(message.map(bytesOf));
  return Buffer.from(message as Uint8Array);
}
