/** Requests in the handlers of a server. */
import { Link, LinkedList } from "../../core/collections/linked-list.js";
import { IdleWaits } from "../../core/idle-waits.js";

/** A request, and the context of its handler. */
export class HandlerJob {
  /** The client's routing id. */
  readonly client: Buffer;
  readonly link: Link<HandlerJob> = new Link<HandlerJob>(this);
  aborted = false;
  #controller: AbortController | undefined;

  constructor(client: Buffer) {
    this.client = client;
  }

  // Created on demand, which costs more than the rest of a request. One of the server would keep every listener.
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.aborted) this.#controller.abort();
    return this.#controller.signal;
  }

  abort(): void {
    this.aborted = true;
    this.#controller?.abort();
  }
}

export class HandlerJobs {
  readonly #jobs = new LinkedList<HandlerJob>();
  readonly #idle = new IdleWaits();

  get length(): number {
    return this.#jobs.length;
  }

  /** @param answer must not reject */
  start(client: Buffer, answer: (job: HandlerJob) => Promise<void>): void {
    const job = new HandlerJob(client);
    this.#jobs.push(job.link);
    void answer(job).finally(() => {
      job.link.unlink();
      if (this.#jobs.length === 0) this.#idle.end();
    });
  }

  /** Settles when all are answered. */
  idle(): Promise<void> {
    return this.#idle.wait(this.#jobs.length === 0);
  }

  abort(): void {
    for (const job of this.#jobs) job.abort();
  }
}
