// @ts-check
/** The demo's processes: started, watched, and gone at the end whatever happens. */
import { spawn } from "node:child_process";
import { once } from "node:events";

/** @typedef {import("./protocol.js").Settings} Settings */

/** ms that a process has to end by itself after it was asked to. */
const PATIENCE = 5_000;

export class Children {
  /** @type {Map<string, import("node:child_process").ChildProcess>} */
  #running = new Map();
  #leaving = false;
  /** @type {(error: Error) => void} */
  #fail = () => undefined;
  /** Rejects when a process ends before it was asked to. @type {Promise<never>} */
  failed = new Promise((_, reject) => {
    this.#fail = reject;
  });

  constructor() {
    this.failed.catch(() => undefined); // Reported to those who wait for it; nobody has to.
  }

  /**
   * Starts a program. Its standard input stays open as long as this process lives.
   *
   * @param {string} file
   * @param {Settings} settings
   */
  start(file, settings) {
    const { name } = settings;
    const child = spawn(process.execPath, [file, JSON.stringify(settings)], {
      stdio: ["pipe", "ignore", "inherit"],
    });
    child.stdin?.on("error", () => undefined); // A process that is gone does not read.
    child.on("error", (error) => this.#fail(new Error(`${name} could not be started: ${error.message}`)));
    if (child.pid === undefined) return;
    this.#running.set(name, child);
    child.on("exit", (code, signal) => {
      this.#running.delete(name);
      if (this.#leaving) return;
      const how = signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`;
      this.#fail(new Error(`${name} (pid ${child.pid}) ${how} before the work was done`));
    });
  }

  /** Names and process ids, for the reader and to kill one. */
  describe() {
    return [...this.#running].map(([name, { pid }]) => `${name} ${pid}`).join(", ");
  }

  /** From now on a process may end. */
  expectExits() {
    this.#leaving = true;
  }

  /**
   * Waits until all are gone; ends those that do not go by themselves.
   *
   * @returns {Promise<string[]>} the names of those that had to be ended
   */
  async gone() {
    const exits = [...this.#running.values()].map((child) => once(child, "exit"));
    /** @type {string[]} */
    const late = [];
    const timer = setTimeout(() => {
      late.push(...this.#running.keys());
      this.kill();
    }, PATIENCE);
    await Promise.all(exits);
    clearTimeout(timer);
    return late;
  }

  /** Ends all at once. */
  kill() {
    this.#leaving = true;
    for (const child of this.#running.values()) child.kill("SIGKILL");
  }
}
