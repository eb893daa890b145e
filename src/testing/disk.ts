/**
 * The disk of a node: files by name. What a program writes is read back at once, and is safe from a crash once `sync` has
 * settled; of what came after that a crash keeps, file by file, some of the writes, and never a later one without those
 * before it. A killed process loses nothing: the system has it.
 */
import type { Random } from "./random.js";
import { scopes } from "./scope.js";

interface File {
  /** As on the disk; `undefined`: it did not exist. */
  durable: Buffer | undefined;
  /** What it was after each write since; writes of a disk have numbers. */
  readonly later: { readonly write: number; readonly content: Buffer | undefined }[];
}

/** ms that a `sync` takes: at least, and at most. */
const SYNC_TIME: readonly [number, number] = [0.5, 5];

/** The simulated disk of a node. */
export class Disk {
  readonly #random: Random;
  readonly #files = new Map<string, File>();
  #fault: "EIO" | "ENOSPC" | undefined = undefined;
  #writes = 0;

  /** @internal @param random what chooses the part that a crash keeps */
  constructor(random: Random) {
    this.#random = random;
  }

  /** The bytes of a file, yours to keep; `undefined`: no such file. @throws Error `EIO` while the disk fails */
  read(name: string): Buffer | undefined {
    if (this.#fault === "EIO") this.#fail("read");
    const now = this.#now(name);
    return now === undefined ? undefined : Buffer.from(now);
  }

  /** Replaces a file, or makes it. @throws Error `EIO`, `ENOSPC` while the disk fails; nothing is written then */
  write(name: string, data: Uint8Array | string): void {
    this.#put(name, Buffer.from(data as Uint8Array));
  }

  /** Adds to the end of a file, or makes it. @throws Error as `write` */
  append(name: string, data: Uint8Array | string): void {
    this.#put(name, Buffer.concat([this.#now(name) ?? Buffer.alloc(0), Buffer.from(data as Uint8Array)]));
  }

  /** Removes a file, if there is one. @throws Error as `write` */
  remove(name: string): void {
    if (this.#now(name) !== undefined) this.#put(name, undefined);
  }

  /** The names of the files, in order. */
  list(): string[] {
    return [...this.#files.keys()].filter((name) => this.#now(name) !== undefined).sort();
  }

  /** Settles when all that was written before the call is safe, after some virtual ms. @throws Error as `write` */
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

  /** Lets every write and sync fail from now on, with `EIO` every read, too; `undefined`: the disk works again. */
  fail(code: "EIO" | "ENOSPC" | undefined): void {
    this.#fault = code;
  }

  /** The machine has lost its power. @internal */
  crash(): void {
    for (const [name, file] of this.#files) {
      const kept = this.#random.integer(0, file.later.length);
      if (kept > 0) file.durable = file.later[kept - 1]?.content;
      file.later.length = 0;
      if (file.durable === undefined) this.#files.delete(name);
    }
  }

  /** There is another disk in its place. @internal */
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
