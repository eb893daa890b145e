/**
 * Records the ways of some messages of this process, which dashboards show: each step with its times, in a ring.
 *
 *   a few times a second ──> the next message that is sent is sampled ── its context goes with it ──> other processes record their steps
 *   a message came with a context that says it is sampled ──> its step is recorded; what its handler sends at once is the next step
 *
 * What is sent is observed only until the next one is found, and what arrives only where it has a context: a message that is
 * not sampled costs what it costs without a recorder. Where an instrumentation is on (docs/tracing.md), a step has that one's trace.
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

/** Steps that are kept; the oldest go. */
export const MAX_STEPS_KEPT = 2_000;
/** Messages that are sampled each second, unless it is given. */
export const SAMPLED_PER_SECOND = 4;
export const MAX_SAMPLED_PER_SECOND = 100;
/** ms for which recording goes on after somebody has looked. */
const LOOK_TIME = 10_000;
/** Steps under way at most: of more the oldest is recorded without its end, as a handler that never settles has none. */
export const MAX_UNDER_WAY = 1_000;
/** Steps that are recorded each second, beyond those that this process samples itself: remote programs say which messages are sampled. */
export const MAX_RECORDED_PER_SECOND = 1_000;
/** Characters of a name. */
const MAX_NAME = 128;

/** One step of a message's way. */
export interface TraceStep {
  /** 32 hexadecimal digits. */
  readonly trace: string;
  /** Its own, 16 hexadecimal digits. */
  readonly span: string;
  /** That of the step which caused it; `undefined`: none, or not known. */
  readonly parent: string | undefined;
  readonly kind: "send" | "request" | "receive" | "process" | "acknowledge";
  /** The call, and its topic, channel or service. */
  readonly name: string;
  /** ms since 1970, with a fraction. */
  readonly at: number;
  /** ms; `undefined`: of one moment, or 1,000 later ones began before its end. */
  readonly duration: number | undefined;
  /** Of the message. */
  readonly bytes: number;
  /** The code of the error it failed with. */
  readonly error: string | undefined;
}

/** What a look gives. */
export interface RecordedSteps {
  /** For the next look. */
  readonly next: number;
  readonly steps: readonly TraceStep[];
  /** Steps of all times that were not recorded, since there were more than are recorded each second. */
  readonly missed: number;
}

/** A step that has begun. */
interface Begun extends Omit<TraceStep, "duration" | "error"> {
  readonly started: number;
}

type Listener = (message: unknown) => void;

export class TraceRecorder {
  readonly #steps = new RingBuffer<TraceStep>(64);
  /** What is observed as long as it records. */
  readonly #arriving: readonly (readonly [Channel, Listener])[];
  /** What is observed until a message is sampled. */
  readonly #leaving: readonly (readonly [Channel, Listener])[];
  /** Rates of those who want it recorded whether somebody looks or not. */
  readonly #rates = new Map<symbol, number>();
  #lookTimer: NodeJS.Timeout | undefined = undefined;
  #sampler: NodeJS.Timeout | undefined = undefined;
  #rate = 0;
  #isOn = false;
  /** A message may be sampled. */
  #isDue = false;
  /** The step whose handler runs, up to its first wait. */
  #current: Begun | undefined = undefined;
  #isObserving = false;
  /** Steps that have begun, the oldest first. */
  readonly #underWay = new Set<Begun>();
  #recorded = 0;
  #missed = 0;
  readonly #now: () => number;
  readonly #meter: RateMeter;

  /** @param now ms since the start of the process */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    // It begins with a second's worth.
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

  /** Records from now on, until that is ended. @param rate messages that are sampled each second */
  begin(rate: number): () => void {
    const key = Symbol();
    this.#rates.set(key, rate);
    this.#change();
    return () => {
      this.#rates.delete(key);
      this.#change();
    };
  }

  /** Somebody looks: it records, and goes on for 10 s. @param after `next` of the look before @returns what was recorded since, the oldest first */
  look(after = 0): RecordedSteps {
    if (this.#lookTimer === undefined) {
      this.#lookTimer = setTimeout(() => {
        this.#lookTimer = undefined;
        this.#change();
      }, LOOK_TIME).unref();
      this.#change();
    } else this.#lookTimer.refresh();
    const steps: TraceStep[] = [];
    // One of a former life of the process.
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

  /** What is sent is observed while a message may be sampled, or a handler of a recorded one runs. */
  #observe(): void {
    const isWanted = this.#isOn && (this.#isDue || this.#current !== undefined);
    if (isWanted === this.#isObserving) return;
    this.#isObserving = isWanted;
    for (const [channel, listener] of this.#leaving)
      if (!isWanted) channel.unsubscribe(listener);
      else channel.subscribe(listener);
  }

  // --- What leaves -----------------------------------------------------------------------------------------------------

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

  /** @param known of an instrumentation @returns `undefined`: it is not recorded */
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
    // What is sampled here has a rate of its own, which those who flood this process do not use up.
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

  // --- What arrives ----------------------------------------------------------------------------------------------------

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

  /** What the handler sends before its first wait is caused by this step. */
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

  // --- Steps -----------------------------------------------------------------------------------------------------------

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

/** A name for errors: the code, or the class. */
function codeOf(error: unknown): string | undefined {
  if (error === undefined) return undefined;
  const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown };
  const found = [code, name].find((each) => typeof each === "string" && each !== "") ?? "Error";
  return String(found).slice(0, MAX_NAME);
}

/** What fails here is not the program's: a subscriber that throws ends its process. */
function guarded(listener: Listener): Listener {
  return (message) => {
    try {
      listener(message);
    } catch {
      // The step is missing in the picture, and nothing else: the message goes on.
    }
  };
}

let recorder: TraceRecorder | undefined;

/** That of this process. */
export function traceRecorder(): TraceRecorder {
  recorder ??= new TraceRecorder();
  return recorder;
}
