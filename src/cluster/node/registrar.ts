/**
 * Keeps a running node in the registry of its host (registry.ts has the files):
 *
 *   start ──> check ──every LOOK_INTERVAL, and at each change──> check ──> …  close
 *               │ not registered, or its socket is gone: registers again
 *               │ its file is gone, or outdated: writes it
 *               └ fails: `down`, once; the next check tries again, and reports `up`
 */
import { type ClusterNodeEntry, foldersOf, Registration } from "../registry.js";

const LOOK_INTERVAL = 5_000;

export interface RegistrarEffects {
  up(): void;
  /** Others on this host do not find the node. */
  down(error: Error): void;
}

export class Registrar {
  readonly #effects: RegistrarEffects;
  readonly #folders: readonly string[];
  readonly #interval: number;
  #entry: ClusterNodeEntry;
  #written: ClusterNodeEntry | undefined;
  #registration: Registration | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #looksAgain = false;
  #isDown = false;
  #closed = false;

  constructor(
    entry: ClusterNodeEntry,
    effects: RegistrarEffects,
    folders: readonly string[] = foldersOf(process.env),
    interval: number = LOOK_INTERVAL,
  ) {
    this.#entry = entry;
    this.#effects = effects;
    this.#folders = folders;
    this.#interval = interval;
  }

  /** Settles after the first attempt. Never rejects. */
  async start(): Promise<void> {
    // A system without user ids has no registry, which is not a failure.
    if (this.#folders.length === 0 || this.#closed) return;
    this.#look();
    this.#timer = setInterval(() => this.#look(), this.#interval).unref();
    await this.#looking;
  }

  update(changes: Partial<Pick<ClusterNodeEntry, "address" | "port" | "control">>): void {
    this.#entry = { ...this.#entry, ...changes };
    if (this.#timer !== undefined) this.#look();
  }

  /** Never rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#looking;
    await this.#registration?.close();
  }

  #look(): void {
    if (this.#looking !== undefined) {
      this.#looksAgain = true;
      return;
    }
    this.#looking = this.#keep().then(() => {
      this.#looking = undefined;
      if (!this.#looksAgain || this.#closed) return;
      this.#looksAgain = false;
      this.#look();
    });
  }

  /** Never rejects. */
  async #keep(): Promise<void> {
    try {
      // The folder may be removed between two steps, with different codes. The second attempt creates it.
      await this.#register().catch(() => this.#register());
    } catch (error) {
      if (!this.#isDown && !this.#closed) this.#effects.down(error as Error);
      this.#isDown = true;
      return;
    }
    if (this.#isDown && !this.#closed) this.#effects.up();
    this.#isDown = false;
  }

  /** @throws InvalidStateError `EFSM`, and the system's errors */
  async #register(): Promise<void> {
    if (this.#registration !== undefined && !(await this.#registration.hasSocket())) {
      const gone = this.#registration;
      this.#registration = undefined;
      await gone.close();
    }
    const entry = this.#entry;
    if (this.#registration === undefined) {
      if (this.#closed) return;
      this.#registration = await Registration.open(entry, this.#folders);
    } else if (this.#written !== entry || !(await this.#registration.hasFile()))
      await this.#registration.write(entry);
    this.#written = entry;
  }
}
