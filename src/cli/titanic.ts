/** `--titanic DIR`: durable requests beside a broker, as long as that broker serves. */
import { openTitanic, type TitanicService } from "../patterns/titanic/index.js";
import { loadOptional } from "../patterns/titanic/optional-package.js";
import { describe, Failure } from "./failure.js";
import type { Log } from "./log.js";
import type { SecurityOptions } from "./security.js";

export class TitanicPart {
  readonly #directory: string;
  readonly #security: SecurityOptions;
  readonly #log: Log;
  #service: TitanicService | undefined;

  /**
   * @param security of a client of the broker
   * @throws NotSupportedError `NOT_SUPPORTED` when the package that it needs is not installed
   */
  constructor(directory: string, security: SecurityOptions, log: Log) {
    loadOptional("lmdb", "--titanic");
    this.#directory = directory;
    this.#security = security;
    this.#log = log;
  }

  /** @throws Failure when the folder cannot be used */
  open(endpoint: string): void {
    const log = this.#log;
    try {
      this.#service = openTitanic(endpoint, this.#directory, { socketOptions: this.#security });
    } catch (error) {
      const { cause } = error as Error;
      const why = cause === undefined ? "" : ` (${describe(cause)})`;
      throw new Failure(`--titanic ${this.#directory}: ${describe(error)}${why}`);
    }
    const { titanic } = this.#service;
    titanic.events
      .on("retry", (e) =>
        log.detail(`request ${e.uuid} for ${e.service} is tried again: ${describe(e.error)}`),
      )
      .on("damage", (e) => log.warn(`record ${e.uuid} is damaged, and was set aside: ${e.reason}`))
      .on("store:error", (e) => log.warnOnce(`the store in ${this.#directory}: ${describe(e.error)}`));
    log.info(`keeping requests in ${this.#directory}: ${titanic.stats().store.pending} wait`);
  }

  /** To be called before the broker closes. It can be opened again. */
  async close(linger: number): Promise<void> {
    const service = this.#service;
    this.#service = undefined;
    await service?.close({ linger });
  }
}
