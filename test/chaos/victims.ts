/** Programs that chaos tests kill and stop, and that come back. */
import { type Child, start } from "../process/child.js";

/** A program that starts again whenever it was killed. */
export class Victim {
  child: Child;
  /** Settles when this life of the program has printed its first line. */
  ready: Promise<unknown>;
  readonly #start: () => [Child, Promise<unknown>];

  constructor(start: () => [Child, Promise<unknown>]) {
    this.#start = start;
    [this.child, this.ready] = start();
  }

  async kill(signal?: NodeJS.Signals): Promise<void> {
    await this.child.kill(signal);
    [this.child, this.ready] = this.#start();
  }

  async stop(ms: number): Promise<void> {
    this.child.process.kill("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, ms));
    this.child.process.kill("SIGCONT");
  }
}

/** The victims of one test. */
export class Victims {
  readonly #running = new Set<Child>();
  readonly #limit: number;

  /** @param limit ms after which a program is killed whatever happens */
  constructor(limit: number) {
    this.#limit = limit;
  }

  start(source: string, ...args: string[]): Victim {
    return new Victim(() => {
      const child = start(source, { args, limit: this.#limit });
      this.#running.add(child);
      void child.outcome.then(() => this.#running.delete(child));
      const ready = child.line();
      ready.catch(() => undefined);
      return [child, ready];
    });
  }

  async end(): Promise<void> {
    await Promise.all([...this.#running].map((child) => child.kill()));
  }
}
