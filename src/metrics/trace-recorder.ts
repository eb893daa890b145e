/**
 * Records the flow of sampled messages for dashboards: steps with times, in a ring buffer.
 *
 *   a few times a second ──> next sent message is sampled ── its context travels with it ──> other processes record their steps
 *   message with a sampled context arrives ──> its step is recorded; sends of its handler are the next steps
 *
 * Sends are observed only until the next message is sampled, and arrivals only with a context, so other messages cost
 * nothing. With an instrumentation (docs/tracing.md), steps use its trace.
 */
import { randomBytes } from "node:crypto";
import type { Channel } from "node:diagnostics_channel";
import { RingBuffer } from "../core/collections/ring-buffer.js";
import {
  MESSAGE_ACKNOWLEDGE,
  MESSAGE_SEND_START,
  MESSAGE_TRACED,
  type Operation,
  PROCESS_START,
  type ProcessOperation,
  REQUEST_START,
  type RequestOperation,
} from "../core/diagnostics.js";
import {
  MessageProcessOperation,
  type MessageSendOperation,
  type ObservedMessage,
} from "../core/message-operations.js";
import { RateMeter } from "../core/rate-meter.js";
import {
  encodeContext,
  formatTraceParent,
  parseTraceParent,
  TRACEPARENT,
  traceParentOf,
} from "../core/trace-context.js";

/** The oldest are evicted. */
export const MAX_STEPS_KEPT = 2_000;
const SAMPLED_PER_SECOND = 4;
export const MAX_SAMPLED_PER_SECOND = 100;
/** ms of recording after the last request. */
const LOOK_TIME = 10_000;
/** Steps in flight; beyond them the oldest is recorded without an end, as for a handler that never settles. */
export const MAX_UNDER_WAY = 1_000;
/** Steps per second for messages sampled by remote programs. */
export const MAX_RECORDED_PER_SECOND = 1_000;
const MAX_NAME = 128;

export interface TraceStep {
  readonly trace: string;
  readonly span: string;
  /** Span of the causing step, if known. */
  readonly parent: string | undefined;
  readonly kind: "send" | "request" | "receive" | "process" | "acknowledge";
  /** The call, and its topic, channel or service. */
  readonly name: string;
  /** ms since 1970, with a fraction. */
  readonly at: number;
  /** ms; `undefined`: instantaneous, or 1,000 later steps began before its end. */
  readonly duration: number | undefined;
  readonly bytes: number;
  readonly error: string | undefined;
}

export interface RecordedSteps {
  /** The next `after`. */
  readonly next: number;
  readonly steps: readonly TraceStep[];
  /** Total beyond the rate limit. */
  readonly missed: number;
}

interface Begun extends Omit<TraceStep, "duration" | "error"> {
  readonly started: number;
}

type Listener = (message: unknown) => void;

export class TraceRecorder {
  readonly #steps = new RingBuffer<TraceStep>(64);
  /** Observed while recording. */
  readonly #arriving: readonly (readonly [Channel, Listener])[];
  /** Observed until a message is sampled. */
  readonly #leaving: readonly (readonly [Channel, Listener])[];
  /** Sampling rates of permanent recorders. */
  readonly #rates = new Map<symbol, number>();
  #lookTimer: NodeJS.Timeout | undefined = undefined;
  #sampler: NodeJS.Timeout | undefined = undefined;
  #rate = 0;
  #isOn = false;
  #isDue = false;
  /** Its handler runs, until the first await. */
  #current: Begun | undefined = undefined;
  #isObserving = false;
  /** The oldest first. */
  readonly #underWay = new Set<Begun>();
  #recorded = 0;
  #missed = 0;
  readonly #now: () => number;
  readonly #meter: RateMeter;

  /** @param now ms since the process started */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    // Starts with one second's worth.
    this.#meter = new RateMeter({ messages: MAX_RECORDED_PER_SECOND }, now() - 1_000);
    this.#arriving = [
      [MESSAGE_TRACED, guarded((each) => this.#onTraced(each as ObservedMessage))],
      [MESSAGE_ACKNOWLEDGE, guarded((each) => this.#onAcknowledge(each as ObservedMessage))],
      [PROCESS_START, guarded((each) => this.#onProcess(each as ProcessOperation))],
    ];
    this.#leaving = [
      [MESSAGE_SEND_START, guarded((each) => this.#onMessageSend(each as MessageSendOperation))],
      [REQUEST_START, guarded((each) => this.#onRequest(each as RequestOperation))],
    ];
  }

  /** @param rate sampled messages per second @returns stops */
  begin(rate: number): () => void {
    const key = Symbol();
    this.#rates.set(key, rate);
    this.#change();
    return () => {
      this.#rates.delete(key);
      this.#change();
    };
  }

  /** Records for another 10 s. @param after `next` of the last call @returns the oldest steps first */
  look(after = 0): RecordedSteps {
    if (this.#lookTimer === undefined) {
      this.#lookTimer = setTimeout(() => {
        this.#lookTimer = undefined;
        this.#change();
      }, LOOK_TIME).unref();
      this.#change();
    } else this.#lookTimer.refresh();
    const steps: TraceStep[] = [];
    // The number precedes a restart of the process.
    const since = after > this.#recorded ? 0 : after;
    let number = this.#recorded - this.#steps.length;
    this.#steps.retain((step) => {
      number += 1;
      if (number > since) steps.push(step);
      return true;
    });
    return { next: this.#recorded, steps, missed: this.#missed };
  }

  #change(): void {
    const rate = Math.max(this.#lookTimer === undefined ? 0 : SAMPLED_PER_SECOND, ...this.#rates.values());
    if (rate === this.#rate) return;
    this.#rate = rate;
    clearInterval(this.#sampler);
    this.#sampler = undefined;
    this.#isDue = false;
    if (rate > 0)
      this.#sampler = setInterval(() => {
        this.#isDue = true;
        this.#observe();
      }, 1_000 / rate).unref();
    else this.#steps.clear();
    if (this.#isOn !== rate > 0) {
      this.#isOn = rate > 0;
      for (const [channel, listener] of this.#arriving)
        if (!this.#isOn) channel.unsubscribe(listener);
        else channel.subscribe(listener);
    }
    this.#observe();
  }

  /** While a sample is due or a recorded message's handler runs. */
  #observe(): void {
    const isWanted = this.#isOn && (this.#isDue || this.#current !== undefined);
    if (isWanted === this.#isObserving) return;
    this.#isObserving = isWanted;
    for (const [channel, listener] of this.#leaving)
      if (!isWanted) channel.unsubscribe(listener);
      else channel.subscribe(listener);
  }

  #onMessageSend(operation: MessageSendOperation): void {
    const { call, destination, bytes } = operation;
    const step = this.#leave("send", `${call} ${destination}`, bytes, traceParentOf(operation.context));
    if (step === undefined) return;
    operation.context ??= encodeContext({ [TRACEPARENT]: formatTraceParent(step.trace, step.span) });
    this.#end(operation, step);
  }

  #onRequest(operation: RequestOperation): void {
    const { headers, added, service } = operation;
    const known = parseTraceParent(headers[TRACEPARENT] ?? added?.[TRACEPARENT]);
    const step = this.#leave("request", `request ${service}`, 0, known);
    if (step === undefined) return;
    if (known === undefined) operation.setHeader(TRACEPARENT, formatTraceParent(step.trace, step.span));
    this.#end(operation, step);
  }

  /** @param known by an instrumentation @returns `undefined` if not recorded */
  #leave(
    kind: TraceStep["kind"],
    name: string,
    bytes: number,
    known: ReturnType<typeof parseTraceParent>,
  ): Begun | undefined {
    const cause = this.#current;
    if (cause === undefined && !this.#isDue) return undefined;
    if (known !== undefined && !known.isSampled) return undefined;
    if (cause === undefined) this.#isDue = false;
    this.#observe();
    // Remote programs cannot use up the local samples' rate.
    if (cause !== undefined && !this.#mayRecord()) return undefined;
    return this.#begin({
      trace: known?.trace ?? cause?.trace ?? randomBytes(16).toString("hex"),
      span: known?.span ?? randomBytes(8).toString("hex"),
      parent: cause?.span,
      kind,
      name,
      bytes,
    });
  }

  #onTraced(traced: ObservedMessage | MessageProcessOperation): void {
    const operation = traced instanceof MessageProcessOperation ? traced : undefined;
    const { filter, destination, bytes, context } = operation?.received ?? (traced as ObservedMessage);
    const from = traceParentOf(context);
    if (from?.isSampled !== true) return;
    const name = filter === "" ? destination : filter;
    if (operation !== undefined)
      this.#process(operation, this.#arrive("process", `process ${name}`, bytes, from));
    else this.#moment(this.#arrive("receive", `receive ${name}`, bytes, from));
  }

  #onAcknowledge({ destination, bytes, context }: ObservedMessage): void {
    const from = traceParentOf(context);
    if (from?.isSampled === true)
      this.#moment(this.#arrive("acknowledge", `acknowledge ${destination}`, bytes, from));
  }

  #onProcess(operation: ProcessOperation): void {
    const from = parseTraceParent(operation.headers[TRACEPARENT]);
    if (from?.isSampled === true)
      this.#process(operation, this.#arrive("process", `process ${operation.service}`, 0, from));
  }

  #arrive(
    kind: TraceStep["kind"],
    name: string,
    bytes: number,
    { trace, span: parent }: { readonly trace: string; readonly span: string },
  ): Begun | undefined {
    if (!this.#mayRecord()) return undefined;
    return this.#begin({ trace, span: randomBytes(8).toString("hex"), parent, kind, name, bytes });
  }

  /** This step causes the handler's sends before its first await. */
  #process(operation: Operation, step: Begun | undefined): void {
    if (step === undefined) return;
    this.#end(operation, step);
    operation.wrap((run) => {
      const before = this.#current;
      this.#current = step;
      this.#observe();
      try {
        return run();
      } finally {
        this.#current = before;
        this.#observe();
      }
    });
  }

  #mayRecord(): boolean {
    if (this.#meter.messages(this.#now()) < 1) {
      this.#missed += 1;
      return false;
    }
    this.#meter.spend(1, 0);
    return true;
  }

  #begin(step: Omit<Begun, "at" | "started">): Begun {
    if (this.#underWay.size >= MAX_UNDER_WAY)
      for (const oldest of this.#underWay) {
        this.#keep(oldest, undefined, undefined);
        break;
      }
    const started = this.#now();
    const begun = {
      ...step,
      name: step.name.slice(0, MAX_NAME),
      at: performance.timeOrigin + started,
      started,
    };
    this.#underWay.add(begun);
    return begun;
  }

  #end(operation: Operation, step: Begun): void {
    operation.whenOver(({ error }) => this.#keep(step, this.#now() - step.started, codeOf(error)));
  }

  #moment(step: Begun | undefined): void {
    if (step !== undefined) this.#keep(step, undefined, undefined);
  }

  #keep(begun: Begun, duration: number | undefined, error: string | undefined): void {
    if (!this.#underWay.delete(begun) || !this.#isOn) return;
    this.#recorded += 1;
    if (this.#steps.length >= MAX_STEPS_KEPT) this.#steps.shift();
    const { started: _, ...step } = begun;
    this.#steps.push({ ...step, duration, error });
  }
}

function codeOf(error: unknown): string | undefined {
  if (error === undefined) return undefined;
  const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown };
  const found = [code, name].find((each) => typeof each === "string" && each !== "") ?? "Error";
  return String(found).slice(0, MAX_NAME);
}

/** A throwing subscriber would end the process. */
function guarded(listener: Listener): Listener {
  return (message) => {
    try {
      listener(message);
    } catch {
      // The trace lacks this step; the message continues.
    }
  };
}

let recorder: TraceRecorder | undefined;

export function traceRecorder(): TraceRecorder {
  recorder ??= new TraceRecorder();
  return recorder;
}
