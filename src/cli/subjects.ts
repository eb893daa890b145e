/**
 * A remote program for `shoal top` and the dashboard: metrics over HTTP, or a control socket. Types of its answers
 * are checked here; src/dashboard/build.ts bounds what is shown.
 */
import { defined, quoted } from "../core/arguments.js";
import { reachableForms, reachesProcesses } from "../core/schemes/schemes.js";
import {
  entriesOf,
  isCount,
  itemOfPeer,
  memberTexts,
  PEER_SIDES,
  type SourceDetails,
  type SourceList,
  type Subject,
  type SubjectReading,
  sidesOf,
  textsOf,
} from "../dashboard/build.js";
import { actionsIn } from "../dashboard/local.js";
import type { DashboardAction, DashboardItem } from "../dashboard/state.js";
import { ShoalError } from "../index.js";
import type { ProcessReading } from "../metrics/reading.js";
import { isRead, readingOf } from "../metrics/readings.js";
import { type Sample, samplesOf } from "../metrics/sources.js";
import { kindOf } from "../proxy/pairs.js";
import { MAX_PEERS_LISTED } from "../sockets/internal.js";
import { causeOf } from "../sockets/stalls.js";
import { ControlClient, replyOf } from "./control-client.js";
import { describe, Failure, UsageError } from "./failure.js";
import { clientSecurityOptions, type SecurityOptions, type SecuritySettings } from "./security.js";

/** Metrics have about 10,000 bytes. */
const MAX_ANSWER = 16_777_216;
/** ms. */
const ACTION_TIMEOUT = 5_000;
const MAX_MEMBERS_READ = 20_000;
/** Sources of a program over HTTP, and lists of each. */
const MAX_SOURCES_READ = 1_000;
const MAX_LISTS_READ = 16;
/** Readings between requests to a program without `/peers`. */
const SKIPPED_READINGS = 30;
/** Characters of a process's name for itself. */
const MAX_INSTANCE = 64;
const NO_ANSWER = "no answer in time";

type Members = Readonly<Record<string, unknown>>;

/**
 * Opens the subjects at addresses, and closes them after `work`.
 *
 * @param hasPeers whether to read peers @throws UsageError, also for PLAIN or CURVE without a control socket
 */
export async function withSubjects(
  texts: readonly string[],
  settings: SecuritySettings,
  hasPeers: boolean,
  work: (subjects: readonly Subject[]) => Promise<void>,
): Promise<void> {
  const security = await clientSecurityOptions(settings);
  const { plain, curveServerKey } = settings;
  if ((plain ?? curveServerKey) !== undefined && !texts.some(isControl))
    throw new UsageError(
      "--plain and --curve-… are for control sockets; expected an address tcp://… or ipc://…",
    );
  const subjects: RemoteSubject[] = [];
  try {
    for (const text of texts) subjects.push(await openSubject(text, security, hasPeers));
    await work(subjects);
  } finally {
    await Promise.all(subjects.map((subject) => subject.close()));
  }
}

/** A subject with a connection. */
interface RemoteSubject extends Subject {
  close(): Promise<void>;
}

export async function openSubject(
  text: string,
  security: SecurityOptions,
  hasPeers = true,
): Promise<RemoteSubject> {
  if (/^https?:\/\//.test(text)) {
    if (!URL.canParse(text)) throw new UsageError(`address ${quoted(text)} is not a URL`);
    return new HttpSubject(text, hasPeers);
  }
  if (isControl(text)) return new ControlSubject(text, await ControlClient.open(text, security));
  throw new UsageError(
    `address ${quoted(text)}: expected http://HOST:PORT of metrics, or ${reachableForms().join(" or ")} of a proxy's control socket`,
  );
}

function isControl(text: string): boolean {
  return text.includes("://") && reachesProcesses(text);
}

function reasonOf(error: unknown): string {
  const { cause, code } = error as Error & { readonly code?: string };
  if (code === "ETIMEDOUT") return cause instanceof ShoalError ? causeOf(cause) : NO_ANSWER;
  // The message of fetch is "fetch failed"; its cause has the reason.
  if (cause instanceof AggregateError) return describe(cause.errors[0] ?? cause);
  return describe(cause instanceof Error ? cause : error);
}

/** Metrics, with peers if the program serves them. */
class HttpSubject implements RemoteSubject {
  readonly address: string;
  readonly reasonOf = reasonOf;
  readonly #metrics: URL;
  readonly #hasPeers: boolean;
  readonly #ended = new AbortController();
  #skip = 0;
  #instance: string | undefined;

  constructor(address: string, hasPeers: boolean) {
    this.address = address;
    this.#metrics = new URL(address);
    if (this.#metrics.pathname === "/") this.#metrics.pathname = "/metrics";
    // `serveMetrics` has no other path.
    this.#hasPeers = this.#metrics.pathname === "/metrics" && hasPeers;
  }

  async read(timeout: number, signal: AbortSignal): Promise<SubjectReading> {
    const text = await this.#get(this.#metrics, timeout, signal);
    const { sources, process } = readingOf(parsePrometheusText(text, isRead));
    return {
      reading: { sources, process: defined({ ...process, instance: this.#instance }) },
      details: await this.#details(timeout, signal),
    };
  }

  async act(): Promise<void> {
    throw new Error("metrics cannot be steered");
  }

  async close(): Promise<void> {
    this.#ended.abort();
  }

  async #details(timeout: number, signal: AbortSignal): Promise<SubjectReading["details"]> {
    if (!this.#hasPeers || --this.#skip > 0) return new Map();
    let answer: Members | null;
    try {
      answer = JSON.parse(await this.#get(this.#page("/peers"), timeout, signal)) as Members | null;
    } catch {
      // Counters show whether the program answers at all.
      this.#skip = SKIPPED_READINGS;
      return new Map();
    }
    const entries = entriesOf(answer?.sources).slice(0, MAX_SOURCES_READ);
    return new Map(entries.map(([name, lists]) => [name, { lists: this.#listsOf(name, lists) }]));
  }

  #listsOf(source: string, lists: unknown): Readonly<Record<string, SourceList>> {
    const entries = entriesOf(lists).slice(0, MAX_LISTS_READ);
    const counted = entries.filter((entry): entry is [string, number] => isCount(entry[1]));
    return Object.fromEntries(
      counted.map(([list, length]) => [list, { length, items: () => this.#peers(source, list) }]),
    );
  }

  async #peers(source: string, list: string): Promise<readonly DashboardItem[]> {
    const url = this.#page("/peers", { source, list });
    const text = await this.#get(url, ACTION_TIMEOUT, this.#ended.signal);
    return peerItemsOf((JSON.parse(text) as Members | null)?.peers);
  }

  #page(path: string, query: Readonly<Record<string, string>> = {}): URL {
    const url = new URL(path, this.address);
    url.search = String(new URLSearchParams(query));
    return url;
  }

  /** Not `AbortSignal.any`: Node.js 20 collects signals that only it refers to. */
  async #get(url: URL, timeout: number, signal: AbortSignal): Promise<string> {
    const controller = new AbortController();
    const abort = (): void => controller.abort(signal.reason);
    const timer = setTimeout(() => controller.abort(new Failure(NO_ANSWER)), timeout);
    signal.addEventListener("abort", abort, { once: true });
    try {
      const response = await fetch(url, { signal: controller.signal, redirect: "error" });
      this.#instance = response.headers.get("Shoal-Process")?.slice(0, MAX_INSTANCE);
      if (response.ok) return await bounded(response);
      await response.body?.cancel();
      throw new Failure(`HTTP ${response.status}`);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
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

class ControlSubject implements RemoteSubject {
  readonly address: string;
  readonly reasonOf = reasonOf;
  readonly #client: ControlClient;
  readonly #ended = new AbortController();

  constructor(address: string, client: ControlClient) {
    this.address = address;
    this.#client = client;
  }

  async read(timeout: number, signal: AbortSignal): Promise<SubjectReading> {
    const text = await this.#client.ask({ command: "status" }, { timeout, signal });
    const status = replyOf(text) ?? {};
    const read = readingOf(parseStatus(text)).sources;
    const isNode = Array.isArray(status.runningNodes);
    // A node's statistics do not show that it drains, or was removed.
    const state = isNode && status.state !== "running" ? { state: String(status.state) } : {};
    const sources = read.map((source) => ({ ...source, ...state }));
    const details = isNode ? nodeDetails(status) : this.#proxyDetails(status);
    const reading = { sources, process: processIn(status.process) };
    return { reading, details: new Map(sources.map(({ name }) => [name, details])) };
  }

  #proxyDetails(status: Members): SourceDetails {
    const lists = PEER_SIDES.map((side) => [`${side} peers`, this.#peersOf(status, side)] as const);
    return {
      sides: sidesOf(status),
      lists: Object.fromEntries(lists),
      actions: actionsIn(String(status.state)),
    };
  }

  #peersOf(status: Members, side: (typeof PEER_SIDES)[number]): SourceList {
    const { peers } = (status[side] ?? {}) as Members;
    const items = async (): Promise<DashboardItem[]> =>
      peerItemsOf((await this.#command({ command: "peers", side })).peers);
    return { length: isCount(peers) ? peers : 0, items };
  }

  async act(_source: string, action: DashboardAction): Promise<void> {
    await this.#command({ command: action });
  }

  #command(command: object): Promise<Members> {
    return this.#client.command(command, { timeout: ACTION_TIMEOUT, signal: this.#ended.signal });
  }

  async close(): Promise<void> {
    this.#ended.abort();
    await this.#client.close();
  }
}

/** A reply to `status` as samples. @throws Failure for other text */
export function parseStatus(text: string): Sample[] {
  const status = replyOf(text);
  if (status?.ok !== true || typeof status.state !== "string")
    throw new Failure(`not a proxy or a node: it answered ${text.slice(0, 60)}`);
  if (Array.isArray(status.runningNodes) && typeof status.name === "string")
    return samplesOf({ name: status.name, kind: "cluster", stats: status.stats });
  const kind = kindOf(typeOf(status.frontend), typeOf(status.backend));
  return samplesOf({ name: textIn(status.name) ?? kind, kind, stats: status });
}

function processIn(process: unknown): ProcessReading {
  const { version, started, instance } = (process ?? {}) as Members;
  return defined({
    version: textIn(version),
    instance: textIn(instance)?.slice(0, MAX_INSTANCE),
    started: isCount(started) ? started : undefined,
  });
}

function typeOf(side: unknown): string {
  return textIn((side as { readonly type?: unknown } | null | undefined)?.type) ?? "";
}

function textIn(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

export function nodeDetails({ members, name: own, state }: Members): SourceDetails {
  const list = Array.isArray(members) ? (members as unknown[]) : [];
  const items = (): DashboardItem[] => list.slice(0, MAX_MEMBERS_READ).flatMap(itemOfMember);
  return {
    lists: { members: { length: list.length, items } },
    members: memberTexts(items().filter(({ name }) => name !== own)),
    actions: state === "running" || state === "minority" ? ["drain"] : [],
  };
}

function itemOfMember(member: unknown): DashboardItem[] {
  const { name, state, address, tags } = (member ?? {}) as Members;
  if (typeof name !== "string" || typeof state !== "string") return [];
  const detail = textsOf(tags).join(", ");
  return [{ name, state, ...defined({ address: textIn(address), detail: detail || undefined }) }];
}

export function peerItemsOf(value: unknown): DashboardItem[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, MAX_PEERS_LISTED).flatMap((each: unknown): DashboardItem[] => {
    const { name, type, address, queuedOut, queuedIn } = (each ?? {}) as Members;
    if (typeof name !== "string" || typeof address !== "string") return [];
    return [
      itemOfPeer({
        name,
        type: textIn(type) ?? "",
        address,
        queuedOut: isCount(queuedOut) ? queuedOut : 0,
        queuedIn: isCount(queuedIn) ? queuedIn : 0,
      }),
    ];
  });
}

// --- Prometheus's text -----------------------------------------------------------------------------------------------

/** Maximum samples of an answer; a process has a few hundred. */
const MAX_SAMPLES = 100_000;

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*$/;
const LABEL = /\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)/y;

/** Skips invalid lines: the text comes from a remote program. @param wanted by name */
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

/** Metrics are neither infinite nor `NaN`. */
function numberOf(text: string): number | undefined {
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}
