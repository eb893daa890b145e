/**
 * The operating systems of machines: addresses, ports, listeners, both ends of each connection.
 *
 *   Link end  --data, end, reset--> in transit --arrives--> the other end's buffer --> its program, when that runs
 *                                      |  cut, or machine off: parked, retransmitted after 0.2, 0.6, 1.4 … s
 *                                      +  machine restarted since: answered with a reset
 *
 * Data in a cut arrives at the first retransmission after it heals; the sender's system gives up after a quarter of an
 * hour. A killed process's system ends or resets its connections at once. A machine without power sends nothing until
 * it restarts.
 */
import type { Fabric } from "./fabric.js";
import type { Scope } from "./scope.js";

/** Bytes in transit or in the receiver's buffer, per direction. */
const WINDOW = 262_144;
/** Bytes that a program takes before its system reports them, unless the sender waits. */
const ACKNOWLEDGED_AFTER = 65_536;
/** ms: first and longest retransmission pause, and when a system gives up (Linux, tcp_retries2). */
const FIRST_RETRY = 200;
const LONGEST_RETRY = 120_000;
const GIVE_UP = 924_600;
/** Times of a connection attempt (Linux, tcp_syn_retries). */
const FIRST_DIAL_RETRY = 1_000;
const DIAL_GIVE_UP = 127_000;
const FIRST_PORT = 32_768;
const LAST_PORT = 60_999;

export interface EndListener {
  endOnReadable(): void;
  endOnWritable(): void;
}

export interface Listening {
  readonly scope: Scope;
  accept(end: LinkEnd): void;
}

type Segment =
  | { readonly kind: "data"; readonly bytes: Buffer }
  | { readonly kind: "end" }
  | { readonly kind: "reset" };

const END: Segment = { kind: "end" };
const RESET: Segment = { kind: "reset" };

export class Machines {
  readonly fabric: Fabric;
  readonly #byName = new Map<string, Machine>();

  constructor(fabric: Fabric) {
    this.fabric = fabric;
  }

  add(name: string, address: string): Machine {
    const machine = new Machine(this, name, address);
    this.#byName.set(name, machine).set(address, machine);
    return machine;
  }

  find(host: string): Machine | undefined {
    return this.#byName.get(host);
  }

  all(): Iterable<Machine> {
    return new Set(this.#byName.values());
  }
}

export class Machine {
  readonly name: string;
  readonly address: string;
  readonly machines: Machines;
  on = true;
  /** Powered, but paused. */
  suspended = false;
  /** Starts; connections from earlier ones are unknown. */
  boot = 0;
  readonly #listening = new Map<string, Listening>();
  readonly #ends = new Set<LinkEnd>();
  #port = FIRST_PORT;
  #names = 0;

  constructor(machines: Machines, name: string, address: string) {
    this.machines = machines;
    this.name = name;
    this.address = address;
  }

  resolve(host: string): Machine | undefined {
    const own = host === "localhost" || host === "*" || host === "::" || host === "::1" || host === "0.0.0.0";
    return own || host.startsWith("127.") ? this : this.machines.find(host);
  }

  freePort(isUsed: (port: number) => boolean): number {
    for (let tries = FIRST_PORT; tries <= LAST_PORT; tries++) {
      const port = this.#port;
      this.#port = port === LAST_PORT ? FIRST_PORT : port + 1;
      if (!isUsed(port)) return port;
    }
    throw systemError("EADDRINUSE", "bind", "no port is free");
  }

  nextName(): number {
    this.#names += 1;
    return this.#names;
  }

  /** @param key "tcp:PORT" or "ipc:PATH" @returns stops listening */
  listen(key: string, listening: Listening): () => void {
    if (this.#listening.has(key)) throw systemError("EADDRINUSE", "listen", "address already in use");
    this.#listening.set(key, listening);
    return () => {
      if (this.#listening.get(key) === listening) this.#listening.delete(key);
    };
  }

  isListening(key: string): boolean {
    return this.#listening.has(key);
  }

  /**
   * @param done runs in `scope`, once a connection has both ends
   * @returns cancels the attempt
   */
  dial(target: Machine, key: string, scope: Scope, done: (result: LinkEnd | Error) => void): () => void {
    const { fabric } = this.machines;
    const { schedule } = fabric;
    let givenUp = false;
    const began = schedule.now;
    const finish = (result: LinkEnd | Error): void => {
      if (!givenUp) schedule.runAs(scope, "connected", () => !givenUp && done(result));
      else if (!(result instanceof Error)) result.close();
    };
    const attempt = (tries: number): void => {
      schedule.at(schedule.now + fabric.streamDelay(this.name, target.name, 0), undefined, "dial", () => {
        if (givenUp || scope.gone) return;
        if (this.suspended) {
          schedule.at(schedule.now + FIRST_DIAL_RETRY, undefined, "dial", () => attempt(tries));
          return;
        }
        const reaches = fabric.passes(this.name, target.name) && fabric.passes(target.name, this.name);
        if (!reaches || !target.on || target.suspended) {
          const pause = FIRST_DIAL_RETRY * 2 ** tries;
          if (schedule.now + pause - began > DIAL_GIVE_UP) {
            schedule.at(began + DIAL_GIVE_UP, undefined, "dial", () =>
              finish(systemError("ETIMEDOUT", "connect", `no answer from ${target.name}`)),
            );
          } else schedule.at(schedule.now + pause, undefined, "dial", () => attempt(tries + 1));
          return;
        }
        const listening = target.#listening.get(key);
        const back = fabric.streamDelay(target.name, this.name, 0);
        if (listening === undefined) {
          const error = systemError("ECONNREFUSED", "connect", `nothing listens at ${key} of ${target.name}`);
          schedule.at(schedule.now + back, undefined, "refused", () => finish(error));
          return;
        }
        const [here, there] = linkOf(this, target, scope, listening.scope, key);
        schedule.note(`${this.name} > ${target.name}: connection to ${key}`);
        schedule.at(schedule.now + back, undefined, "connected", () => finish(here));
        schedule.at(
          schedule.now + back + fabric.delay(this.name, target.name, 0),
          undefined,
          "accept",
          () => {
            if (there.isOver) return;
            if (target.#listening.get(key) === listening)
              schedule.runAs(listening.scope, "accept", () => listening.accept(there));
            else there.close();
          },
        );
      });
    };
    attempt(0);
    return () => {
      givenUp = true;
    };
  }

  /** @internal */
  register(end: LinkEnd): void {
    this.#ends.add(end);
  }

  /** @internal */
  forget(end: LinkEnd): void {
    this.#ends.delete(end);
  }

  /** Resets connections, as a firewall that has lost its state does. @returns their number */
  reset(other: Machine): number {
    const between = [...this.#ends].filter(({ peer }) => peer.machine === other);
    for (const end of between) end.breakOff();
    return between.length;
  }

  endProcess(scope: Scope): void {
    for (const [key, listening] of [...this.#listening])
      if (listening.scope === scope) this.#listening.delete(key);
    for (const end of [...this.#ends]) if (end.scope === scope) end.close();
  }

  crash(): void {
    this.on = false;
    this.suspended = false;
    this.boot += 1;
    this.#listening.clear();
    for (const end of this.#ends) end.vanish();
    this.#ends.clear();
  }

  start(): void {
    this.on = true;
  }
}

export class LinkEnd {
  readonly machine: Machine;
  readonly scope: Scope;
  readonly port: number;
  peer!: LinkEnd;
  listener: EndListener | undefined = undefined;
  readonly #boot: number;
  #incoming: Buffer[] = [];
  #ended = false;
  #failure: Error | undefined = undefined;
  #closed = false;
  #endSent = false;
  #over = false;
  /** Bytes sent, and known to be taken by the peer. */
  #sent = 0;
  #taken = 0;
  /** Bytes taken by this program, and reported to the peer. */
  #consumed = 0;
  #reported = 0;
  /** Arrival of the last segment; later ones follow it. */
  #lastArrival = 0;
  /** Undelivered segments, their age, and retransmissions. */
  #parked: Segment[] = [];
  #parkedSince = 0;
  #retries = 0;
  #wanted = false;

  constructor(machine: Machine, scope: Scope, port: number) {
    this.machine = machine;
    this.scope = scope;
    this.port = port;
    this.#boot = machine.boot;
    machine.register(this);
  }

  get isOver(): boolean {
    return this.#over;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  get ended(): boolean {
    return this.#ended && this.#incoming.length === 0;
  }

  get room(): number {
    return this.#over ? 0 : Math.max(0, WINDOW - (this.#sent - this.#taken));
  }

  /** @returns the number of sent bytes, as many as fit */
  write(bytes: Uint8Array): number {
    const length = Math.min(bytes.length, this.room);
    if (length < bytes.length) this.#wanted = true;
    if (length === 0) return 0;
    this.#sent += length;
    this.#transmit({ kind: "data", bytes: Buffer.from(bytes.subarray(0, length)) });
    return length;
  }

  end(): void {
    if (this.#over || this.#endSent) return;
    this.#endSent = true;
    this.#transmit(END);
  }

  take(): Buffer | undefined {
    const bytes = this.#incoming.shift();
    if (bytes === undefined) return undefined;
    this.#consumed += bytes.length;
    const pending = this.#consumed - this.#reported;
    if (pending >= ACKNOWLEDGED_AFTER || (this.peer.#wanted && this.#incoming.length === 0)) this.#report();
    return bytes;
  }

  /** The peer gets the end, or a reset if data was `untaken`. */
  close(untaken = false): void {
    if (this.#closed) return;
    this.#closed = true;
    this.listener = undefined;
    if (this.#over) return;
    if (untaken || this.#incoming.length > 0) this.#sendReset();
    else if (this.#endSent && this.#ended) this.#finish();
    else this.end();
  }

  breakOff(): void {
    for (const end of [this, this.peer])
      end.#fail(systemError("ECONNRESET", "read", "the connection was reset on its way"));
  }

  vanish(): void {
    this.listener = undefined;
    this.#closed = true;
    this.#over = true;
    this.#parked = [];
  }

  #sendReset(): void {
    this.#transmit(RESET);
    this.#finish();
  }

  #finish(): void {
    this.#over = true;
    this.machine.forget(this);
  }

  #transmit(segment: Segment): void {
    const { fabric } = this.machine.machines;
    const { schedule } = fabric;
    const [from, to] = [this.machine.name, this.peer.machine.name];
    const bytes = segment.kind === "data" ? segment.bytes.length : 0;
    const time = Math.max(this.#lastArrival, schedule.now + fabric.streamDelay(from, to, bytes));
    this.#lastArrival = time;
    schedule.at(time, undefined, segment.kind, () => this.#arrive(segment));
  }

  get #reaches(): boolean {
    const { machine } = this.peer;
    const { fabric } = this.machine.machines;
    return machine.on && !machine.suspended && fabric.passes(this.machine.name, machine.name);
  }

  #arrive(segment: Segment): void {
    if (this.#parked.length === 0 && this.#reaches) {
      this.#deliver(segment);
      return;
    }
    // A reset is sent only once, and a machine that has lost its power since sends nothing again.
    if (segment.kind === "reset" || this.#boot !== this.machine.boot) return;
    this.#parked.push(segment);
    if (this.#parked.length > 1) return;
    this.#parkedSince = this.machine.machines.fabric.schedule.now;
    this.#retries = 0;
    this.#retryLater();
  }

  #retryLater(): void {
    const { schedule } = this.machine.machines.fabric;
    const pause = Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** this.#retries);
    schedule.at(schedule.now + pause, undefined, "retransmit", () => {
      if (this.#parked.length === 0) return;
      if (this.machine.suspended) {
        this.#retryLater();
        return;
      }
      this.#retries += 1;
      if (this.#reaches) {
        const parked = this.#parked;
        this.#parked = [];
        for (const segment of parked) this.#deliver(segment);
      } else if (schedule.now - this.#parkedSince >= GIVE_UP) {
        this.#parked = [];
        this.#fail(systemError("ETIMEDOUT", "read", "the peer's system does not answer"));
      } else this.#retryLater();
    });
  }

  #deliver(segment: Segment): void {
    const { peer } = this;
    const { schedule } = this.machine.machines.fabric;
    if (peer.#boot !== peer.machine.boot || peer.#over) {
      // The connection is unknown.
      if (segment.kind !== "reset" && !this.#over) peer.#transmit(RESET);
      return;
    }
    if (segment.kind === "reset") {
      peer.#fail(systemError("ECONNRESET", "read", "the peer's system has reset the connection"));
      return;
    }
    if (segment.kind === "end") {
      peer.#ended = true;
      if (peer.#closed && peer.#endSent) {
        peer.#finish();
        if (this.#ended) this.#finish();
      }
    } else {
      schedule.digest.bytes(segment.bytes);
      if (peer.#closed) {
        peer.#sendReset();
        return;
      }
      peer.#incoming.push(segment.bytes);
    }
    peer.#wake();
  }

  #fail(error: Error): void {
    if (this.#over) return;
    this.#failure = error;
    this.#incoming = [];
    this.#finish();
    this.#wake();
  }

  #wake(): void {
    const { schedule } = this.machine.machines.fabric;
    if (this.listener !== undefined)
      schedule.runAs(this.scope, "readable", () => this.listener?.endOnReadable());
  }

  #report(): void {
    const { fabric } = this.machine.machines;
    const { schedule } = fabric;
    const { peer } = this;
    this.#reported = this.#consumed;
    const consumed = this.#consumed;
    const arrive = (): void => {
      if (peer.#over || peer.#boot !== peer.machine.boot) return;
      if (!fabric.passes(this.machine.name, peer.machine.name) || peer.machine.suspended) {
        // Probes a closed window.
        schedule.at(schedule.now + FIRST_DIAL_RETRY, undefined, "probe", arrive);
        return;
      }
      peer.#taken = Math.max(peer.#taken, consumed);
      if (!peer.#wanted || peer.room === 0) return;
      peer.#wanted = false;
      if (peer.listener !== undefined)
        schedule.runAs(peer.scope, "writable", () => peer.listener?.endOnWritable());
    };
    const delay = fabric.delay(this.machine.name, peer.machine.name, 0);
    schedule.at(schedule.now + delay, undefined, "acknowledge", arrive);
  }
}

function linkOf(
  from: Machine,
  to: Machine,
  fromScope: Scope,
  toScope: Scope,
  key: string,
): [LinkEnd, LinkEnd] {
  const here = new LinkEnd(
    from,
    fromScope,
    from.freePort(() => false),
  );
  const there = new LinkEnd(to, toScope, key.startsWith("tcp:") ? Number(key.slice("tcp:".length)) : 0);
  here.peer = there;
  there.peer = here;
  return [here, there];
}

export function systemError(code: string, syscall: string, why: string): Error {
  return Object.assign(new Error(`${syscall} ${code}: ${why}`), { code, syscall });
}
