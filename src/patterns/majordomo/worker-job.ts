/** One request in a worker's hands, until its outcome is told; then what a repetition of it gets. */
import type { SendTicket } from "../kit/send-queue.js";
import { idIn } from "./heads.js";
import type { Delivery } from "./protocol-worker.js";
import { owned, Repeatable } from "./request-memory.js";
import { INITIAL_CREDIT } from "./stream-credit.js";
import type { RequestContext } from "./worker-handler.js";
import type { WorkerSession } from "./worker-rules.js";

/** The frames of a reply. */
export type Body = (Buffer | string)[];

/** How a request ended. */
export type Outcome =
  | { readonly ok: true; readonly body: Body }
  | { readonly ok: false; readonly reason: string; readonly text: string };

/** A handler failed. @param before said before its error's own text */
export function failedWith(error: unknown, before: string): Outcome {
  const text = error instanceof Error ? error.message : String(error);
  return { ok: false, reason: "worker-failed", text: `${before}${text}` };
}

/** The bytes of a reply. */
export function sizeOf(body: Body): number {
  let bytes = 0;
  for (const frame of body) bytes += typeof frame === "string" ? Buffer.byteLength(frame) : frame.length;
  return bytes;
}

/** Hears that the last word on a job, which had to wait for room, has left; or never will. */
export type OnLastWord = (job: Job, sent: boolean) => void;

export class Job extends Repeatable implements RequestContext, SendTicket {
  readonly session: WorkerSession;
  readonly delivery: Delivery;
  readonly service: string;
  /** Repetitions that came while the first is in hand. */
  followers: Job[] | undefined = undefined;
  outcome: Outcome | undefined = undefined;
  cancelled = false;
  /** It has one of the worker's handlers. */
  running = false;
  /** Its answer is an error. */
  failed = false;
  /** Its answer comes in pieces. */
  streams = false;
  /** Pieces that were sent. */
  pieces = 0;
  /** Bytes of pieces that may still be sent (stream-credit.ts). */
  credit = INITIAL_CREDIT;
  /** Bytes of its answer that wait for room. */
  unsentBytes = 0;
  readonly #onLastWord: OnLastWord;
  /** What is waited for: credit, or room for a piece. */
  #whenGranted: (() => void) | undefined = undefined;
  #whenSent: ((sent: boolean) => void) | undefined = undefined;
  #controller: AbortController | undefined = undefined;

  constructor(session: WorkerSession, delivery: Delivery, service: string, onLastWord: OnLastWord) {
    super();
    this.#onLastWord = onLastWord;
    this.session = session;
    this.delivery = delivery;
    this.service = service;
  }

  get id(): string | undefined {
    return this.delivery.repeatable ? idIn(this.delivery.head).toString("hex") : undefined;
  }

  // Made when it is asked for: most handlers never look, and it costs more than all else here.
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.cancelled) this.#controller.abort();
    return this.#controller.signal;
  }

  abort(): void {
    this.cancelled = true;
    this.#controller?.abort();
    this.#wake();
  }

  /** The client wants so many bytes more. */
  grant(bytes: number): void {
    this.credit += bytes;
    if (this.credit > 0) this.#wake();
  }

  /**
   * Waits for credit.
   *
   * @param limit ms; 0: none
   * @returns `false`: nobody has read on in that time. The job may be cancelled by then.
   */
  async granted(limit: number): Promise<boolean> {
    if (this.credit > 0 || this.cancelled) return true;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#whenGranted = resolve;
      if (limit > 0) timer = setTimeout(resolve, limit);
    });
    clearTimeout(timer);
    return this.credit > 0 || this.cancelled;
  }

  /** Waits until the piece that had to wait for room has left. @returns `false`: its connection has ended */
  sent(): Promise<boolean> {
    return new Promise((resolve) => {
      this.#whenSent = resolve;
    });
  }

  settled(sent: boolean): void {
    const whenSent = this.#whenSent;
    if (whenSent === undefined) this.#onLastWord(this, sent);
    else {
      this.#whenSent = undefined;
      whenSent(sent);
    }
  }

  #wake(): void {
    const whenGranted = this.#whenGranted;
    this.#whenGranted = undefined;
    whenGranted?.();
  }

  override own(): void {
    if (this.outcome?.ok !== true) return;
    const body = this.outcome.body.map((frame) => (typeof frame === "string" ? frame : owned(frame)));
    this.outcome = { ok: true, body };
  }
}
