/**
 * An address that is read at an interval: over HTTP, or from the control socket of a proxy or a node.
 *
 *   up <--answer-- | --no answer--> away, since then
 */
import { quoted } from "../../core/arguments.js";
import { reachableForms, reachesProcesses } from "../../core/schemes/schemes.js";
import { isRead, rated, readingOf, type TimedReading } from "../../metrics/readings.js";
import { type Sample, samplesOf } from "../../metrics/samples.js";
import { kindOf } from "../../proxy/pairs.js";
import { ControlClient, replyOf } from "../control-client.js";
import { describe, Failure, UsageError } from "../failure.js";
import type { SecurityOptions, SecuritySettings } from "../security.js";
import type { AddressView } from "./view.js";

/** Maximum bytes of an answer; metrics are some 10,000. */
const MAX_ANSWER = 16_777_216;

const NO_ANSWER = "no answer in time";

/** An address that can be read repeatedly. */
export interface Address {
  /** Its counters. Rejects when it does not answer. @param timeout ms */
  read(timeout: number, signal: AbortSignal): Promise<Sample[]>;
  close(): Promise<void>;
}

/** Whether an address is a proxy's control socket. */
export function isControl(text: string): boolean {
  return text.includes("://") && reachesProcesses(text);
}

/** @throws UsageError for PLAIN or CURVE where no address is a control socket */
export function checkSecured(texts: readonly string[], { plain, curveServerKey }: SecuritySettings): void {
  if ((plain ?? curveServerKey) !== undefined && !texts.some(isControl))
    throw new UsageError(
      "--plain and --curve-… are for control sockets; expected an address tcp://… or ipc://…",
    );
}

/** @param security of control sockets @throws UsageError for an invalid address */
export async function openAddress(text: string, security: SecurityOptions): Promise<Address> {
  if (/^https?:\/\//.test(text)) return overHttp(text);
  if (isControl(text)) return overControl(text, security);
  throw new UsageError(
    `address ${quoted(text)}: expected http://HOST:PORT of metrics, or ${reachableForms().join(" or ")} of a proxy's control socket`,
  );
}

function overHttp(text: string): Address {
  if (!URL.canParse(text)) throw new UsageError(`address ${quoted(text)} is not a URL`);
  const url = new URL(text);
  if (url.pathname === "/") url.pathname = "/metrics";
  return {
    read: (timeout, signal) =>
      within(timeout, signal, async (limit) => {
        const response = await fetch(url, { signal: limit, redirect: "error" });
        if (!response.ok) {
          await response.body?.cancel();
          throw new Failure(`HTTP ${response.status}`);
        }
        return parsePrometheusText(await bounded(response), isRead);
      }),
    close: async () => undefined,
  };
}

/** The JSON at a path of pages. Rejects when there is none. @param timeout ms */
export function readJson(url: URL, timeout: number, signal: AbortSignal): Promise<unknown> {
  return within(timeout, signal, async (limit) => {
    const response = await fetch(url, { signal: limit, redirect: "error" });
    if (!response.ok) {
      await response.body?.cancel();
      throw new Failure(`HTTP ${response.status}`);
    }
    return JSON.parse(await bounded(response)) as unknown;
  });
}

/** Not `AbortSignal.any`: Node.js 20 collects signals, time-outs too, that only it refers to. */
async function within<T>(
  timeout: number,
  signal: AbortSignal,
  action: (limit: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const abort = (): void => controller.abort(signal.reason);
  const timer = setTimeout(() => controller.abort(new Failure(NO_ANSWER)), timeout);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await action(controller.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

async function bounded(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER) throw new Failure(`the answer exceeds ${MAX_ANSWER} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

async function overControl(endpoint: string, security: SecurityOptions): Promise<Address> {
  const client = await ControlClient.open(endpoint, security);
  return {
    read: async (timeout, signal) => parseStatus(await client.ask(STATUS, { timeout, signal })),
    close: () => client.close(),
  };
}

/** Why a reading failed, in words. */
export function reasonOf(error: unknown): string {
  const { cause, code } = error as Error & { readonly code?: string };
  if (code === "ETIMEDOUT") return NO_ANSWER;
  // The message of fetch is "fetch failed", and the cause is the reason; of several attempts, the reason of the first.
  if (cause instanceof AggregateError) return describe(cause.errors[0] ?? cause);
  return describe(cause instanceof Error ? cause : error);
}

/** One address over time. */
export class Watch {
  readonly #name: string;
  readonly #address: Address;
  #last: TimedReading | undefined;
  #since: number | undefined;

  constructor(name: string, address: Address) {
    this.#name = name;
    this.#address = address;
  }

  /** Reads once. Never rejects. @param timeout ms */
  async look(timeout: number, signal: AbortSignal): Promise<AddressView> {
    const begin = performance.now();
    try {
      const reading = readingOf(await this.#address.read(timeout, signal));
      const now = { at: performance.now(), reading };
      const before = this.#last;
      this.#last = now;
      this.#since = undefined;
      return { address: this.#name, up: true, latency: now.at - begin, reading: rated(before, now) };
    } catch (error) {
      this.#last = undefined; // No rates across the gap.
      this.#since ??= Date.now();
      return { address: this.#name, up: false, since: this.#since, reason: reasonOf(error) };
    }
  }

  close(): Promise<void> {
    return this.#address.close();
  }
}

/** The command whose reply the control socket of a proxy or a node gives to {@link parseStatus}. */
const STATUS = { command: "status" };

/** Parses the reply of such a control socket to {@link STATUS} as samples. @throws Failure for any other text */
export function parseStatus(text: string): Sample[] {
  const status = replyOf(text);
  if (status?.ok !== true || typeof status.state !== "string")
    throw new Failure(`not a proxy or a node: it answered ${text.slice(0, 60)}`);
  if (Array.isArray(status.runningNodes) && typeof status.name === "string")
    return samplesOf({ name: status.name, kind: "cluster", stats: status.stats });
  const kind = kindOf(typeOf(status.frontend), typeOf(status.backend));
  const name = typeof status.name === "string" ? status.name : kind;
  return samplesOf({ name, kind, stats: status });
}

function typeOf(side: unknown): string {
  const type = (side as { readonly type?: unknown } | null | undefined)?.type;
  return typeof type === "string" ? type : "";
}

/** Maximum samples of an answer; a process has a few hundred. */
const MAX_SAMPLES = 100_000;

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*$/;
const LABEL = /\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)/y;

/** Parses Prometheus's text format. Invalid lines are skipped: the text comes from a remote program. @param wanted by name */
export function parsePrometheusText(text: string, wanted: (name: string) => boolean): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, name = "", inBraces = "", number = ""] = match;
    if (!wanted(name)) continue;
    const labels = labelsOf(inBraces);
    const value = numberOf(number);
    if (labels === undefined || value === undefined) continue;
    samples.push({ name, labels, value });
    if (samples.length === MAX_SAMPLES) break;
  }
  return samples;
}

/** @returns `undefined` for an invalid list of labels */
function labelsOf(text: string): Readonly<Record<string, string>> | undefined {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const match = LABEL.exec(text);
    if (match === null) return undefined;
    const [, name = "", value = ""] = match;
    labels[name] = value.replaceAll(/\\(.)/g, (_, escaped: string) => (escaped === "n" ? "\n" : escaped));
  }
  return labels;
}

/** `undefined` for infinity and `NaN`: no metric shown here can be either. */
function numberOf(text: string): number | undefined {
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}
