/** `--titanic DIR`: durable requests beside a broker, as long as that broker serves. */

import { loadOptional } from "../core/optional-package.js";
import { openTitanic, type TitanicService } from "../patterns/titanic/index.js";
import { describe, Failure } from "./failure.js";
import type { Log } from "./log.js";
import type { SecurityOptions } from "./security.js";

/** What `shoal majordomo broker` says of it. */
export interface TitanicPartOptions {
  readonly titanicAttempts?: number;
  readonly titanicTimeout?: number;
  readonly titanicDamaged?: "refuse" | "set-aside";
}

export class TitanicPart {
  readonly #directory: string;
  readonly #options: TitanicPartOptions;
  readonly #security: SecurityOptions;
  readonly #log: Log;
  #service: TitanicService | undefined;

  /**
   * @param security of a client of the broker
   * @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` when the package that it needs is not installed
   */
  constructor(directory: string, options: TitanicPartOptions, security: SecurityOptions, log: Log) {
    loadOptional("lmdb", "--titanic");
    this.#directory = directory;
    this.#options = options;
    this.#security = security;
    this.#log = log;
  }

  /** @throws Failure when the folder cannot be used */
  open(endpoint: string): void {
    const log = this.#log;
    try {
      const { titanicAttempts, titanicTimeout, titanicDamaged } = this.#options;
      this.#service = openTitanic(endpoint, this.#directory, {
        socketOptions: this.#security,
        ...(titanicAttempts === undefined ? {} : { maxAttempts: titanicAttempts }),
        ...(titanicTimeout === undefined ? {} : { timeout: titanicTimeout }),
        store: titanicDamaged === undefined ? {} : { damagedFile: titanicDamaged },
      });
    } catch (error) {
      const { cause } = error as Error;
      const why = cause === undefined ? "" : ` (${describe(cause)})`;
      throw new Failure(`--titanic ${this.#directory}: ${describe(error)}${why}`);
    }
    const { titanic, damagedFile } = this.#service;
    if (damagedFile !== undefined)
      log.warn(
        `the store in ${this.#directory} was damaged (${damagedFile.reason}); it is ${damagedFile.file} now`,
      );
    titanic.events
      .on("request:retried", (e) =>
        log.detail(`request ${e.uuid} for ${e.service} is tried again: ${describe(e.error)}`),
      )
      .on("request:buried", (e) =>
        log.warn(
          `request ${e.uuid} for ${e.service} failed ${e.attempts} times, and is a dead letter: ${e.reason}`,
        ),
      )
      .on("record:damaged", (e) => log.warn(`record ${e.uuid} is damaged, and was set aside: ${e.reason}`))
      .on("store:failed", (e) => log.warnOnce(`the store in ${this.#directory}: ${describe(e.error)}`));
    log.info(`keeping requests in ${this.#directory}: ${titanic.stats().store.pending} wait`);
  }

  /** To be called before the broker closes. It can be opened again. */
  async close(linger: number): Promise<void> {
    const service = this.#service;
    this.#service = undefined;
    await service?.close({ linger });
  }
}
