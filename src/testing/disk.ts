/**
 * A node's disk: files by name. Writes survive a crash after `sync`; else a crash keeps, per file, some of them with
 * their predecessors. A killed process loses nothing.
 */
import type { Random } from "./random.js";
import { scopes } from "./scope.js";

interface File {
  /** `undefined`: missing. */
  durable: Buffer | undefined;
  /** Content after each later write, with the write's number. */
  readonly later: { readonly write: number; readonly content: Buffer | undefined }[];
}

/** ms of a `sync`, least and most. */
const SYNC_TIME: readonly [number, number] = [0.5, 5];

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
