/** One request in a worker's hands, until its outcome is told; then what a repetition of it gets. */
import { idIn } from "./heads.js";
import type { Delivery } from "./protocol-worker.js";
import { owned, Repeatable } from "./request-memory.js";
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

export class Job extends Repeatable implements RequestContext {
  readonly session: WorkerSession;
  readonly delivery: Delivery;
  readonly service: string;
  /** Repetitions that came while the first is in hand. */
  followers: Job[] | undefined = undefined;
  outcome: Outcome | undefined = undefined;
  cancelled = false;
  #controller: AbortController | undefined = undefined;

  constructor(session: WorkerSession, delivery: Delivery, service: string) {
    super();
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
  }

  override own(): void {
    if (this.outcome?.ok !== true) return;
    const body = this.outcome.body.map((frame) => (typeof frame === "string" ? frame : owned(frame)));
    this.outcome = { ok: true, body };
  }
}
