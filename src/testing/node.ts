/**
 * A node of a world: its process, its power and its disk.
 *
 *   (no process) --start--> running --kill----------> (no process)  its system ends its connections, the disk keeps all
 *                            |   ^  --crash---------> off           silent; unsynced writes may be lost
 *                            |   +--resume--+                       start: on again
 *                            +--stall------> stalled                its system answers for it
 *                            +--suspend----> suspended              nothing answers, and its monotonic clock stops
 */
import { InvalidArgumentError, InvalidStateError, ShoalError } from "../core/errors.js";
import { ignore } from "../core/waiter.js";
import { Context } from "../sockets/context.js";
import { place, simulated } from "./engine.js";
import type { Machine } from "./machine.js";
import { Random, seedFor } from "./random.js";
import type { Schedule } from "./schedule.js";
import { NodeClock, Scope, scopes } from "./scope.js";

export interface ProgramContext {
  readonly node: SimulatedNode;
  /** The default of sockets and patterns. */
  readonly context: Context;
  /** Has the files of earlier programs. */
  readonly disk: Disk;
  readonly signal: AbortSignal;
}

/** Work continues after its promise settles, until the node goes down. */
export type Program<T = unknown> = (self: ProgramContext) => Promise<T> | T;

/** @internal */
export interface WorldOfNode {
  readonly schedule: Schedule;
  /** Seed of everything but the schedule. */
  readonly seed: number;
  readonly startTime: number;
  fail(error: unknown, where: string): void;
}

const contexts = new WeakMap<Scope, Context>();

export function contextNow(): Context | undefined {
  const scope = scopes.getStore();
  return scope === undefined ? undefined : contextOf(scope);
}

function contextOf(scope: Scope): Context {
  let context = contexts.get(scope);
  if (context === undefined) {
    context = new Context({ engine: simulated });
    contexts.set(scope, context);
  }
  return context;
}

/** A node went down under a program or call. Code `ERR_SIMULATION`. */
export class NodeDownError extends ShoalError {
  constructor(message: string) {
    super("ERR_SIMULATION", message);
  }
}

interface Process {
  readonly scope: Scope;
  readonly stop: AbortController;
  readonly program: Promise<unknown>;
  /** Rejects when the node goes down, also after its program. */
  readonly ended: Promise<never>;
  readonly down: (error: Error) => void;
}

/**
 * @example
 * ```ts
 * import { simulate } from "shoal/testing";
 *
 * await simulate({ seed: 1, runs: 1 }, async (world) => {
 *   const node = world.node("server");
 *   node.start(() => {});
 *   node.kill();
 *   console.log(node.running); // false
 * });
 * ```
 */
export class SimulatedNode {
  /** Name, and host name: `tcp://NAME:PORT`. */
  readonly name: string;
  readonly disk: Disk;
  readonly clock: NodeClock;
  readonly #world: WorldOfNode;
  readonly #machine: Machine;
  #process: Process | undefined = undefined;
  #starts = 0;
  #still: object | undefined = undefined;

  /** @internal */
  constructor(world: WorldOfNode, machine: Machine) {
    this.name = machine.name;
    this.#world = world;
    this.#machine = machine;
    this.disk = new Disk(new Random(seedFor(world.seed, `${this.name} disk`)));
    this.clock = new NodeClock(world.schedule, world.startTime, () => this.#process?.scope.retime());
  }

  /** `tcp://ADDRESS:PORT` equals `tcp://NAME:PORT`. */
  get address(): string {
    return this.#machine.address;
  }

  get running(): boolean {
    return this.#process !== undefined;
  }

  /**
   * Starts a process, and the machine.
   *
   * @param program owns all that it starts
   * @returns the program's result; rejects with NodeDownError `ERR_SIMULATION` when the node goes down first. A
   *   throwing program fails the simulation
   * @throws InvalidStateError `EFSM` while a process runs
   */
  start<T>(program: Program<T>): Promise<T> {
    if (this.#process !== undefined)
      throw new InvalidStateError("EFSM", `${this.name} runs a process already`);
    if (typeof program !== "function")
      throw new InvalidArgumentError(`A program must be a function; got ${typeof program}`);
    this.#machine.start();
    this.#starts += 1;
    const { schedule, seed } = this.#world;
    const random = new Random(seedFor(seed, `${this.name} ${this.#starts}`));
    const scope = new Scope(this.name, schedule, this.clock, random, (error) =>
      this.#world.fail(error, this.name),
    );
    place(scope, this.#machine);
    schedule.note(`${this.name}: starts`);
    const stop = new AbortController();
    let down: (error: Error) => void = ignore;
    const ended = new Promise<never>((_, reject) => {
      down = reject;
    });
    const result = new Promise<T>((resolve, reject) => {
      ended.catch(reject);
      const run = async (): Promise<T> =>
        program({ node: this, context: contextOf(scope), disk: this.disk, signal: stop.signal });
      scope.run(() => {
        run().then(resolve, (error: unknown) => {
          reject(error as Error);
          if (!scope.gone) this.#world.fail(error, this.name);
        });
      });
    });
    result.catch(() => undefined); // The world has its errors.
    this.#process = { scope, stop, program: result, ended, down };
    return result;
  }

  /**
   * @returns its result; rejects with its error, or NodeDownError `ERR_SIMULATION`
   * @throws InvalidStateError `EFSM` without a process
   */
  run<T>(what: () => Promise<T> | T): Promise<T> {
    const running = this.#running("run");
    const { scope } = running;
    const result = new Promise<T>((resolve, reject) => {
      running.ended.catch((error) => {
        reject(error);
        result.catch(ignore); // A story that does not wait for the call expects no error of the node's end.
      });
      const call = async (): Promise<T> => what();
      this.#world.schedule.runAs(scope, "run", () => void call().then(resolve, reject));
    });
    return result;
  }

  /** Aborts the program's `signal`, and ends the process after its promise. */
  async stop(): Promise<void> {
    const running = this.#process;
    if (running === undefined) return;
    this.#world.schedule.note(`${this.name}: is asked to stop`);
    await this.run(() => running.stop.abort()).catch(() => undefined); // It may go down before.
    await running.program.catch(() => undefined); // The caller of `run` has its error.
    if (this.#process === running) this.#end("was stopped");
  }

  /** Ends the process at once, as `kill -9`: its system ends or resets connections, and the disk keeps every write. */
  kill(): void {
    this.#running("kill");
    this.#end("was killed");
  }

  /**
   * Cuts the power: peers get nothing until a restart, or until heartbeats end connections. Some unsynced writes may be
   * lost.
   *
   * @param options `disk: false` loses the disk too
   */
  crash({ disk = true }: { readonly disk?: boolean } = {}): void {
    const process = this.#process;
    // First, so that its system closes nothing.
    this.#machine.crash();
    if (process === undefined) this.#world.schedule.note(`${this.name}: loses its power`);
    else this.#end(disk ? "crashes" : "crashes, and loses its disk");
    this.disk.crash();
    if (!disk) this.disk.erase();
  }

  /**
   * Pauses the process, like SIGSTOP or a long computation; its system acknowledges and buffers data. All due events
   * follow at once.
   *
   * @param duration virtual ms; default: until `resume`. A second call replaces the first
   */
  stall(duration?: number): void {
    this.#standStill("stalls", duration);
  }

  /** Pauses the machine, like a closed lid: it answers nothing, and only its wall clock continues. */
  suspend(duration?: number): void {
    this.#standStill("is suspended", duration);
    this.#machine.suspended = true;
    this.clock.suspend();
  }

  resume(): void {
    if (this.#still === undefined) return;
    this.#still = undefined;
    this.#world.schedule.note(`${this.name}: goes on`);
    this.#machine.suspended = false;
    this.clock.resume();
    const scope = this.#process?.scope;
    const waiting = scope?.waiting;
    if (scope === undefined || waiting === undefined) return;
    scope.waiting = undefined;
    // Timers early by a paused clock wait on by themselves (scope.ts).
    this.#world.schedule.release(waiting);
  }

  /** @internal */
  dispose(): void {
    this.#process?.scope.end();
  }

  #standStill(how: string, duration: number | undefined): void {
    const { scope } = this.#running(how);
    if (duration !== undefined && !(duration >= 0))
      throw new InvalidArgumentError(`duration must be a number of ms; got ${duration}`);
    const { schedule } = this.#world;
    schedule.note(`${this.name}: ${how}${duration === undefined ? "" : ` for ${duration} ms`}`);
    const still = {};
    this.#still = still;
    scope.waiting ??= [];
    if (duration === undefined) return;
    schedule.at(schedule.now + duration, undefined, "resume", () => {
      if (this.#still === still) this.resume();
    });
  }

  #running(call: string): Process {
    if (this.#process === undefined)
      throw new InvalidStateError("EFSM", `${call}: ${this.name} runs no process`);
    return this.#process;
  }

  #end(how: string): void {
    const { scope, down } = this.#process as Process;
    this.#world.schedule.note(`${this.name}: ${how}`);
    this.#process = undefined;
    this.#still = undefined;
    this.#machine.suspended = false;
    this.clock.resume();
    scope.end();
    this.#machine.endProcess(scope);
    down(new NodeDownError(`${this.name} ${how}`));
  }
}

// --- Disk ------------------------------------------------------------------------------------------------------------

interface File {
  /** `undefined`: missing. */
  durable: Buffer | undefined;
  /** Content after each later write, with the write's number. */
  readonly later: { readonly write: number; readonly content: Buffer | undefined }[];
}

/** ms of a `sync`, least and most. */
const SYNC_TIME: readonly [number, number] = [0.5, 5];

/**
 * A node's disk: files by name. Writes survive a crash after `sync`; else a crash keeps, per file, some of them with
 * their predecessors. A killed process loses nothing.
 */
export class Disk {
  readonly #random: Random;
  readonly #files = new Map<string, File>();
  #fault: "EIO" | "ENOSPC" | undefined = undefined;
  #writes = 0;

  /** @internal @param random chooses the writes that survive a crash */
  constructor(random: Random) {
    this.#random = random;
  }

  /** @returns a copy; `undefined`: missing @throws Error `EIO` while the disk fails */
  read(name: string): Buffer | undefined {
    if (this.#fault === "EIO") this.#fail("read");
    const now = this.#now(name);
    return now === undefined ? undefined : Buffer.from(now);
  }

  /** @throws Error `EIO`, `ENOSPC` while the disk fails, before any change */
  write(name: string, data: Uint8Array | string): void {
    this.#put(name, Buffer.from(data as Uint8Array));
  }

  /** Makes a missing file. @throws Error as `write` */
  append(name: string, data: Uint8Array | string): void {
    this.#put(name, Buffer.concat([this.#now(name) ?? Buffer.alloc(0), Buffer.from(data as Uint8Array)]));
  }

  /** Ignores a missing file. @throws Error as `write` */
  remove(name: string): void {
    if (this.#now(name) !== undefined) this.#put(name, undefined);
  }

  /** Sorted names. */
  list(): string[] {
    return [...this.#files.keys()].filter((name) => this.#now(name) !== undefined).sort();
  }

  /** Settles after virtual ms, with all earlier writes durable. @throws Error as `write` */
  async sync(): Promise<void> {
    if (this.#fault !== undefined) this.#fail("sync");
    const written = this.#writes;
    const [least, most] = SYNC_TIME;
    const scope = scopes.getStore();
    if (scope !== undefined) {
      const delay = least + this.#random.next() * (most - least);
      await new Promise<void>((resolve) => {
        scope.schedule.at(scope.schedule.now + delay, scope, "sync", resolve);
      });
    }
    if (this.#fault !== undefined) this.#fail("sync");
    for (const file of this.#files.values()) {
      while ((file.later[0]?.write ?? Number.POSITIVE_INFINITY) <= written)
        file.durable = file.later.shift()?.content;
    }
  }

  /** Fails later writes and syncs, with `EIO` also reads; `undefined` repairs the disk. */
  fail(code: "EIO" | "ENOSPC" | undefined): void {
    this.#fault = code;
  }

  /** Loss of power. @internal */
  crash(): void {
    for (const [name, file] of this.#files) {
      const kept = this.#random.integer(0, file.later.length);
      if (kept > 0) file.durable = file.later[kept - 1]?.content;
      file.later.length = 0;
      if (file.durable === undefined) this.#files.delete(name);
    }
  }

  /** Replaces the disk. @internal */
  erase(): void {
    this.#files.clear();
  }

  #now(name: string): Buffer | undefined {
    const file = this.#files.get(name);
    return file === undefined || file.later.length === 0 ? file?.durable : file.later.at(-1)?.content;
  }

  #put(name: string, content: Buffer | undefined): void {
    if (this.#fault !== undefined) this.#fail("write");
    const file = this.#files.get(name) ?? { durable: undefined, later: [] };
    this.#files.set(name, file);
    file.later.push({ write: ++this.#writes, content });
  }

  #fail(call: string): never {
    const code = this.#fault as string;
    throw Object.assign(new Error(`${code}: the disk fails, ${call}`), { code, syscall: call });
  }
}
