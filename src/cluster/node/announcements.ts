/**
 * Announced programs: their endpoints, and their withdrawal without loss.
 *
 *   announced ──withdraw──> in no list any more ──the others know──> draining ──finished, or timeout──> closing ──> gone
 *
 * Other nodes are assumed to know after six gossip intervals.
 */
import { checkCallOptions, checkInteger, invalidArgument } from "../../core/arguments.js";
import { ClosedError, TimeoutError } from "../../core/errors.js";
import { MAX_TIMEOUT, sleep, withTimeout } from "../../core/waiter.js";
import type { NamespaceParts } from "./namespace-parts.js";

/** A program that can be announced: a broker, server or cache of `shoal/patterns`, or any object with these methods. */
export interface AnnouncedProgram {
  /**
   * Accepts nothing new, and resolves when all work is done. Rejects with `ETIMEDOUT` after `timeout` ms; -1: no limit.
   */
  drain(options?: { readonly timeout?: number | undefined }): Promise<unknown>;
  close(): Promise<unknown>;
}

export interface WithdrawOptions {
  /** ms for the program to finish after it began to drain; -1: no limit. Then it is closed. Default 30,000. */
  readonly timeout?: number | undefined;
}

/**
 * A program advertised by this node until it is withdrawn.
 *
 * @example
 * ```ts
 * import { ClusterNode } from "shoal/cluster";
 * import { MajordomoBroker } from "shoal/majordomo";
 *
 * const node = new ClusterNode({ cluster: `announcement-${process.pid}` });
 * await node.start();
 * const broker = new MajordomoBroker();
 * const announcement = node.announce({ kitchen: await broker.bind("tcp://127.0.0.1:*") }, broker);
 * await announcement.withdraw(); // Nobody finds it any more; then it drains, and closes.
 * await node.close();
 * ```
 */
export class Announcement implements AsyncDisposable {
  readonly #program: AnnouncedProgram;
  readonly #parts: NamespaceParts;
  readonly #adverts: readonly (() => void)[];
  readonly #onGone: (gone: Announcement) => void;
  readonly #abandoned = new AbortController();
  #withdrawn: Promise<boolean> | undefined;

  /** @internal */
  constructor(
    endpoints: Readonly<Record<string, string | readonly string[]>>,
    program: AnnouncedProgram,
    parts: NamespaceParts,
    onGone: (gone: Announcement) => void,
  ) {
    if (typeof program?.drain !== "function" || typeof program.close !== "function")
      throw invalidArgument("announce takes what has drain and close", program);
    this.#program = program;
    this.#parts = parts;
    this.#onGone = onGone;
    this.#adverts = parts.details.advertiseAll("announce", endpoints);
  }

  /**
   * Withdraws the endpoints, waits until other nodes know, drains the program and closes it. Repeated calls return the
   * first promise.
   *
   * @returns whether all work was done before the program closed; `false` after the timeout
   * @throws InvalidArgumentError `EINVAL` for an invalid option; errors of the program's `drain` and `close`
   */
  withdraw(options: WithdrawOptions = {}): Promise<boolean> {
    const { timeout = 30_000 } = options;
    try {
      checkCallOptions("withdraw", options, ["timeout"]);
      checkInteger("timeout", timeout, -1, MAX_TIMEOUT);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#withdrawn ??= this.#withdraw(timeout);
    return this.#withdrawn;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.withdraw();
  }

  /** @internal The node closes, without waiting for other nodes. */
  abandon(): void {
    this.#abandoned.abort();
  }

  async #withdraw(timeout: number): Promise<boolean> {
    for (const withdraw of this.#adverts) withdraw();
    const { owner, membership, settings } = this.#parts;
    const isKnown = !owner.closed && (membership?.live.length ?? 0) > 0;
    if (this.#adverts.length > 0 && isKnown)
      await sleep(6 * settings.profile.gossipInterval, this.#abandoned.signal);
    try {
      // The program may ignore the timeout.
      return await withTimeout((async () => this.#program.drain({ timeout }))(), timeout);
    } catch (error) {
      if (error instanceof TimeoutError) return false;
      if (error instanceof ClosedError) return true; // It is closed already.
      throw error;
    } finally {
      await (async () => this.#program.close())().finally(() => this.#onGone(this));
    }
  }
}
