import { describe } from "../core/arguments.js";
import { systemClock } from "../core/clock.js";
import { ClosedError, InvalidArgumentError } from "../core/errors.js";
import { TurnBudget } from "../core/turn-budget.js";
import { refusedWait } from "../core/waiter.js";
import type { OutgoingMessage } from "../engine/engine.js";
import { copyOf } from "../engine/message-copy.js";
import { isSendObserved, observeSend } from "./observation.js";
import { SEND_TIME, type SendOptions, withCode } from "./outbox.js";
import { SendRuns } from "./send-runs.js";
import { CORE, type HasCore, type SocketCore } from "./socket-core.js";
import { checkSendOptions } from "./writable.js";

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const SENT = Promise.resolve();

/** Shared by the thread's sockets, so that the event loop turns whichever are in use. */
const budget = new TurnBudget(SEND_TIME, systemClock);

function settled(messages: number): Promise<void> {
  return budget.spend(Math.max(1, messages)) ? new Promise((resolve) => setImmediate(resolve)) : SENT;
}

class Run {
  readonly #socket: HasCore;
  readonly #core: SocketCore;
  #options: SendOptions | undefined;
  #messages: readonly OutgoingMessage[];
  readonly #observed = isSendObserved();
  #runs: SendRuns | undefined = undefined;
  sent = 0;

  /** @throws the errors of `encode` */
  constructor(socket: HasCore, messages: readonly unknown[], options: SendOptions | undefined) {
    const core = socket[CORE];
    this.#socket = socket;
    this.#core = core;
    this.#options = options;
    // `map` would skip the holes of a sparse array.
    const encoded: OutgoingMessage[] = [];
    for (let i = 0; i < messages.length; i++) encoded.push(core.encode(messages[i]));
    this.#messages = encoded;
  }

  /** Sends while there is room. @returns whether all are sent @throws the errors of `trySend` */
  sendNow(): boolean {
    const messages = this.#messages;
    if (this.#observed) return this.sent === messages.length;
    const { outbox } = this.#core;
    while (this.sent < messages.length) {
      this.#assertMaySend(); // A listener to drops may close it.
      if (!outbox.trySend(messages[this.sent] as OutgoingMessage, this.#options)) return false;
      this.sent += 1;
    }
    return true;
  }

  async sendRest(): Promise<void> {
    const { copy, ...options }: Writable<SendOptions> = this.#options ?? {};
    const timeout = options.timeout ?? this.#core.sendTimeout;
    if (copy === true) this.#messages = this.#copies();
    this.#options = options;
    const deadline = systemClock.now() + timeout;
    this.#assertMaySend();
    this.#core.runs ??= new SendRuns(this.#core);
    const runs = this.#core.runs;
    this.#runs = runs;
    runs.begin();
    try {
      do {
        this.#assertMaySend();
        if (timeout > 0) options.timeout = Math.max(0, Math.ceil(deadline - systemClock.now()));
        await this.#send(this.#messages[this.sent] as OutgoingMessage, options);
        this.sent += 1;
      } while (!this.sendNow());
    } finally {
      runs.end();
    }
  }

  /** The program reuses the memory after the call. */
  #copies(): OutgoingMessage[] {
    try {
      return this.#messages.map((message, i) => (i < this.sent ? message : copyOf(message)));
    } catch (error) {
      throw withCode(error);
    }
  }

  /** A waiting call continues within its closing socket's linger. */
  #assertMaySend(): void {
    if (this.#runs === undefined) this.#core.assertFree();
    else this.#runs.assertGoing();
  }

  #send(message: OutgoingMessage, options: SendOptions): Promise<void> {
    const { outbox, typeName } = this.#core;
    if (!this.#observed) return outbox.send(message, options, false);
    return observeSend(this.#socket, typeName, message, (sent) => outbox.send(sent, options, false));
  }
}

function sendRest(run: Run): Promise<void> {
  const sending = run.sendRest().then(
    () => settled(run.sent),
    (error: unknown) => {
      // Closing causes no unhandled rejection.
      if (error instanceof ClosedError) sending.catch(ignore);
      throw withSent(error, run.sent);
    },
  );
  return sending;
}

function ignore(): void {}

function withSent(error: unknown, sent: number): unknown {
  return error instanceof Error ? Object.assign(error, { sent }) : error;
}

function sendMany(
  this: HasCore,
  messages: readonly unknown[],
  options?: SendOptions,
  extra?: unknown,
): Promise<void> {
  let run: Run;
  try {
    this[CORE].assertFree();
    if (options !== undefined || extra !== undefined) checkSendOptions("sendMany", options, extra);
    if (!Array.isArray(messages))
      throw new InvalidArgumentError(`sendMany takes an array of messages; got ${describe(messages)}`);
    run = new Run(this, messages, options);
  } catch (error) {
    return Promise.reject(withSent(error, 0));
  }
  const refused = refusedWait(options);
  if (refused !== undefined)
    return refused.catch((error: unknown) => {
      throw withSent(error, 0);
    });
  try {
    return run.sendNow() ? settled(run.sent) : sendRest(run);
  } catch (error) {
    return Promise.reject(withSent(error, run.sent));
  }
}

/** @internal */
export const SENDING_MANY = { sendMany };
