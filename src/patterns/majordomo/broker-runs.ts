/**
 * What a broker sends in runs (runs.ts): requests of one client to a worker, and answers to a client, gathered for the rest
 * of the turn. A run that could not be sent is its members' affair: each is as if it had not been sent alone.
 */

import type { BrokerEffects, BrokerRequest, SendResult, Worker } from "./broker-tables.js";
import { answer } from "./client-messages.js";
import { answerRunHead, deliveryRunHead, NO_LIMIT, runTime } from "./header.js";
import { EMPTY, type Frames } from "./protocol.js";
import type { ClientMemory } from "./request-memory.js";
import { giveWriterBack, type RunWriter, takeWriter } from "./runs.js";
import { delivery } from "./worker-messages.js";

/** Workers, and clients, whose runs are gathered at once. */
const MAX_OPEN = 16;

const HIGH = 0x1_0000_0000;

class Run {
  readonly writer: RunWriter = takeWriter();
  readonly requests: BrokerRequest[] = [];
  readonly worker: Worker | undefined;
  readonly client: Buffer;
  readonly memory: ClientMemory;
  readonly high: number;
  /** ms that the first one has waited. */
  readonly waited: number;

  constructor(worker: Worker | undefined, request: BrokerRequest, waited: number) {
    this.worker = worker;
    this.client = request.client;
    this.memory = request.memory as ClientMemory;
    this.high = Math.floor(request.sequence / HIGH);
    this.waited = waited;
  }

  takes(request: BrokerRequest, bytes: number): boolean {
    return (
      request.memory === this.memory &&
      this.writer.hasRoom(bytes) &&
      Math.floor(request.sequence / HIGH) === this.high
    );
  }
}

/** What becomes of runs that could not be sent. */
export interface RunEffects {
  /** They never reached their worker. */
  undelivered(worker: Worker, requests: readonly BrokerRequest[]): void;
  /** Their answers did not reach the client. */
  unanswered(client: Buffer, requests: readonly BrokerRequest[], sent: SendResult): void;
}

export class BrokerRuns {
  readonly #effects: BrokerEffects;
  readonly #on: RunEffects;
  #deliveries: Run[] = [];
  #answers: Run[] = [];
  #isAwaited = false;

  constructor(effects: BrokerEffects, on: RunEffects) {
    this.#effects = effects;
    this.#on = on;
  }

  /** Whether requests and answers leave in runs. */
  get isOn(): boolean {
    return this.#effects.joins?.() === true;
  }

  /** A request for a worker; only one that came in a run. */
  deliver(worker: Worker, request: BrokerRequest, waited: number): void {
    const { from, to } = request;
    let run = worker.run as Run | undefined;
    if (run !== undefined && !run.takes(request, to - from)) {
      this.flushWorker(worker);
      run = undefined;
    }
    if (run === undefined) {
      if (this.#deliveries.length === MAX_OPEN) this.flushWorker(this.#deliveries[0]?.worker as Worker);
      run = new Run(worker, request, waited);
      worker.run = run;
      this.#deliveries.push(run);
      this.#await();
    }
    const { writer } = run;
    const time = runTime(request.runHead);
    writer.number(request.tag);
    writer.number(request.sequence >>> 0);
    writer.number(time === NO_LIMIT ? NO_LIMIT : Math.max(0, Math.ceil(time - waited)));
    writer.slice(request.source, from, to);
    run.requests.push(request);
  }

  /** An answer for a client; only of a request that came in a run. */
  answer(request: BrokerRequest, source: Buffer, from: number, to: number): void {
    const { client } = request;
    let run = this.#answers.at(-1);
    if (run?.client !== client) run = this.#answers.find((each) => each.client === client);
    if (run !== undefined && !run.takes(request, to - from)) {
      this.#answers.splice(this.#answers.indexOf(run), 1);
      this.#sendAnswers(run);
      run = undefined;
    }
    if (run === undefined) {
      if (this.#answers.length === MAX_OPEN) this.#sendAnswers(this.#answers.shift() as Run);
      run = new Run(undefined, request, 0);
      this.#answers.push(run);
      this.#await();
    }
    run.writer.number(request.sequence >>> 0);
    run.writer.slice(source, from, to);
    run.requests.push(request);
  }

  /** First the workers, which may stand idle. */
  flush(): void {
    this.#isAwaited = false;
    while (this.#deliveries.length > 0) this.#sendDeliveries(this.#deliveries.shift() as Run);
    while (this.#answers.length > 0) this.#sendAnswers(this.#answers.shift() as Run);
  }

  /** What is sent to a worker about its requests follows them. */
  flushWorker(worker: Worker): void {
    const run = this.#take(worker);
    if (run !== undefined) this.#sendDeliveries(run);
  }

  /** The worker is gone: what was gathered for it has not been sent. */
  drop(worker: Worker): void {
    const run = this.#take(worker);
    if (run === undefined) return;
    worker.run = undefined;
    worker.unsent.push(...run.requests);
    giveWriterBack(run.writer);
  }

  /** Bytes that are gathered for a client. */
  bytesFor(client: Buffer): number {
    return this.#answers.find((run) => run.client === client)?.writer.bytes ?? 0;
  }

  #take(worker: Worker): Run | undefined {
    const run = worker.run as Run | undefined;
    if (run !== undefined) this.#deliveries.splice(this.#deliveries.indexOf(run), 1);
    return run;
  }

  #await(): void {
    if (this.#isAwaited) return;
    this.#isAwaited = true;
    this.#effects.flushSoon?.();
  }

  #sendDeliveries(run: Run): void {
    const { writer, requests, memory, waited } = run;
    const worker = run.worker as Worker;
    worker.run = undefined;
    const first = requests[0] as BrokerRequest;
    let message: Frames;
    if (requests.length === 1) {
      const { routingId, dialect } = worker;
      message = delivery(routingId, dialect, first.tag, first.head, [writer.only()], 0, 1, waited, this.isOn);
    } else {
      const oldest = Math.min(first.sequence, memory.settled);
      message = writer.message([worker.routingId, deliveryRunHead(first.runHead, first.sequence, oldest)]);
    }
    const sent = this.#send(message, writer);
    if (sent !== "sent") this.#on.undelivered(worker, requests);
  }

  #send(message: Frames, writer: RunWriter): SendResult {
    // Somebody may observe what is sent since the first of them was gathered.
    const copies = this.isOn;
    if (!copies) message[1] = Buffer.from(message[1] as Buffer);
    const sent = this.#effects.send(message);
    if (!copies) writer.giveAway();
    giveWriterBack(writer);
    return sent;
  }

  #sendAnswers({ writer, requests, client }: Run): void {
    const first = requests[0] as BrokerRequest;
    const message =
      requests.length === 1
        ? answer(first, true, EMPTY, [writer.only()], 0, 0, this.isOn)
        : writer.message([client, answerRunHead(first.runHead, first.sequence)]);
    const sent = this.#send(message, writer);
    if (sent !== "sent") this.#on.unanswered(client, requests, sent);
  }
}
