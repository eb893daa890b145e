/** Joins steps of several processes into traces. Pure, and bounded whatever remote programs answer. */
import type { RecordedSteps, TraceStep } from "../metrics/trace-recorder.js";
import type { DashboardTrace, DashboardTraceStep, DashboardTraces } from "./state.js";

/** Traces in a response, the newest. */
export const MAX_TRACES = 50;
/** Steps of a trace in a response, the first. */
const MAX_STEPS = 64;
export const MAX_STEPS_READ = 2_000;
const MAX_TEXT = 256;
const KINDS: ReadonlySet<unknown> = new Set(["send", "request", "receive", "process", "acknowledge"]);

export interface ProcessSteps {
  readonly process: string;
  readonly address: string;
  readonly steps: readonly TraceStep[];
  readonly missed: number;
}

export function tracesOf(all: readonly ProcessSteps[]): DashboardTraces {
  const starts = new Map<string, number>();
  for (const { steps } of all)
    for (const { trace, at } of steps) starts.set(trace, Math.min(at, starts.get(trace) ?? at));
  const newest = [...starts].sort(([, one], [, other]) => other - one).slice(0, MAX_TRACES);
  // Each poll returns thousands of steps.
  const traces = new Map(newest.map(([id]) => [id, [] as DashboardTraceStep[]]));
  const seen = new Set<string>();
  for (const { process, address, steps } of all)
    for (const { trace, span, parent, kind, name, at, duration, bytes, error } of steps) {
      const known = traces.get(trace);
      // Two addresses may belong to one process.
      const key = `${trace} ${span} ${kind}`;
      if (known === undefined || seen.has(key)) continue;
      seen.add(key);
      known.push({
        process,
        address: cut(address),
        span,
        ...(parent === undefined ? {} : { parent }),
        kind,
        name: cut(name),
        at,
        ...(duration === undefined ? {} : { duration }),
        bytes,
        ...(error === undefined ? {} : { error: cut(error) }),
      });
    }
  return {
    version: 1,
    traces: [...traces].map(([id, steps]) => traceOf(id, steps)),
    omitted: starts.size - newest.length,
    missed: all.reduce((total, { missed }) => total + missed, 0),
  };
}

function traceOf(id: string, all: DashboardTraceStep[]): DashboardTrace {
  const steps = inOrder(all);
  let start = Number.POSITIVE_INFINITY;
  let end = 0;
  for (const { at, duration = 0 } of all) {
    start = Math.min(start, at);
    end = Math.max(end, at + duration);
  }
  const processes = new Set(all.map(({ process }) => process)).size;
  return {
    id,
    name: steps[0]?.name ?? "",
    start,
    duration: round(end - start),
    processes,
    failed: all.some(({ error }) => error !== undefined),
    steps: steps.slice(0, MAX_STEPS),
    omitted: Math.max(0, steps.length - MAX_STEPS),
  };
}

/** Steps follow their cause, then time: machines' clocks differ. */
function inOrder(steps: readonly DashboardTraceStep[]): DashboardTraceStep[] {
  const spans = new Set(steps.map(({ span }) => span));
  const byParent = new Map<string, DashboardTraceStep[]>();
  const roots: DashboardTraceStep[] = [];
  for (const step of [...steps].sort((one, other) => one.at - other.at)) {
    const { parent } = step;
    if (parent === undefined || !spans.has(parent) || parent === step.span) {
      roots.push(step);
      continue;
    }
    const siblings = byParent.get(parent);
    if (siblings === undefined) byParent.set(parent, [step]);
    else siblings.push(step);
  }
  const ordered: DashboardTraceStep[] = [];
  const done = new Set<DashboardTraceStep>();
  const stack = roots.reverse();
  for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
    if (done.has(step)) continue;
    done.add(step);
    ordered.push(step);
    const children = byParent.get(step.span) ?? [];
    for (let i = children.length - 1; i >= 0; i--) stack.push(children[i] as DashboardTraceStep);
  }
  // A remote program may claim a cycle of causes.
  for (const step of steps) if (!done.has(step)) ordered.push(step);
  return ordered;
}

/** A remote program may answer anything. */
export function readRecorded(answer: unknown): RecordedSteps {
  const { next, steps, missed } = (answer ?? {}) as Readonly<Record<string, unknown>>;
  return {
    next: Number.isSafeInteger(next) ? (next as number) : 0,
    steps: readSteps(steps),
    // Absent in answers of earlier versions.
    missed: isTime(missed) ? Math.trunc(missed) : 0,
  };
}

/** A remote program may answer anything. */
export function readSteps(value: unknown): TraceStep[] {
  if (!Array.isArray(value)) return [];
  return value.slice(-MAX_STEPS_READ).flatMap((each: unknown): TraceStep[] => {
    const { trace, span, parent, kind, name, at, duration, bytes, error } = (each ?? {}) as Record<
      string,
      unknown
    >;
    if (typeof trace !== "string" || !/^[\da-f]{32}$/.test(trace)) return [];
    if (typeof span !== "string" || !/^[\da-f]{16}$/.test(span)) return [];
    if (!KINDS.has(kind) || typeof name !== "string" || !isTime(at)) return [];
    return [
      {
        trace,
        span,
        parent: typeof parent === "string" && /^[\da-f]{16}$/.test(parent) ? parent : undefined,
        kind: kind as TraceStep["kind"],
        name: cut(name),
        at,
        duration: isTime(duration) ? duration : undefined,
        bytes: isTime(bytes) ? bytes : 0,
        error: typeof error === "string" ? cut(error) : undefined,
      },
    ];
  });
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 && value < 1e15;
}

function round(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}

function cut(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT - 1)}…`;
}
