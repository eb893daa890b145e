/**
 * What `shoal node` prints: the lines of a node that starts, and the replies of a running one as tables. Another
 * program may have answered, so nothing is trusted.
 *
 *   ready ──> joined for each member ──> suspect, lost, back, left, removed, minority, healed …
 *
 * A text line begins with the time. A JSON line has `event`, `name` and `time`.
 */
import type { ClusterEvent, ClusterNodeEntry } from "../cluster/index.js";
import { entriesOf } from "../dashboard/build.js";
import { since } from "../dashboard/page/model.js";
import { printable, table } from "./terminal.js";

export interface LineMember {
  readonly id: string;
  /** `name@host`, or a name alone. */
  readonly name: string;
}

export interface NodeChange {
  readonly type: string;
  readonly member?: LineMember | undefined;
  readonly id?: string;
  readonly reason?: string;
}

export const LINE_EVENTS = [
  ...(["joined", "suspect", "lost", "cleared", "back", "restarted", "left", "removed", "admitted"] as const),
  ...(["draining", "minority", "healed"] as const),
] satisfies readonly ClusterEvent["type"][];

/** After these a member may join again. */
const GONE: ReadonlySet<string> = new Set(["left", "lost", "removed"]);

const WORDS: Readonly<Record<string, string>> = {
  suspect: "is suspect",
  cleared: "is suspect no longer",
  restarted: "was started again",
  lost: "is lost",
  back: "is back",
  removed: "is removed",
  admitted: "is admitted again",
  draining: "is draining",
  minority: "is in the smaller part of a split cluster",
  healed: "is in a whole cluster again",
};

export interface NodeLine {
  readonly event: string;
  readonly name: string;
  readonly [member: string]: unknown;
}

export class NodeLines {
  readonly #json: boolean;
  readonly #print: (line: string) => void;
  readonly #note: ((line: NodeLine) => void) | undefined;
  #self: LineMember | undefined;
  /** Changes before the start is complete. */
  #early: NodeChange[] = [];
  /** Ids of present members that a line has named. */
  readonly #named = new Set<string>();

  /** @param note receives each line as an object, except the node's own start */
  constructor(json: boolean, print: (line: string) => void, note?: (line: NodeLine) => void) {
    this.#json = json;
    this.#print = print;
    this.#note = note;
  }

  /** @param members present, without the node itself @param more members of the line */
  ready(self: LineMember, members: Iterable<LineMember>, more: Readonly<Record<string, unknown>> = {}): void {
    this.#self = self;
    this.#write({ event: "ready", ...whoOf(self), ...more });
    for (const change of this.#early) this.change(change);
    this.#early = [];
    for (const member of members) this.change({ type: "joined", member });
  }

  change(change: NodeChange): void {
    if (this.#self === undefined) {
      this.#early.push(change);
      return;
    }
    const { type: event, id, reason } = change;
    const member = change.member ?? (id === undefined ? this.#self : { id, name: id });
    if (event === "joined") {
      if (this.#named.has(member.id)) return;
      this.#named.add(member.id);
    } else if (event === "back") this.#named.add(member.id);
    else if (GONE.has(event)) this.#named.delete(member.id);
    this.#write({
      event,
      ...whoOf(member),
      ...(reason === undefined ? {} : { reason }),
    });
  }

  #write(change: NodeLine): void {
    const line = { ...change, time: new Date().toISOString() };
    this.#print(this.#json ? JSON.stringify(line) : lineText(line));
    if (line.event !== "ready") this.#note?.(line);
  }
}

function whoOf({ id, name }: LineMember): { name: string; host?: string; id: string } {
  const at = name.lastIndexOf("@");
  return at < 1 ? { name, id } : { name: name.slice(0, at), host: name.slice(at + 1), id };
}

function lineText({ time, ...line }: NodeLine): string {
  return printable(`${typeof time === "string" ? `${time} ` : ""}${wordsOf(line as NodeLine)}`);
}

function wordsOf({ event, name, host, reason, address }: NodeLine): string {
  const who = host === undefined ? name : `${name}@${host}`;
  if (event === "ready") return `${who} is ready${address === undefined ? "" : ` at ${address}`}`;
  const words = [who, WORDS[event] ?? event];
  if (reason !== undefined) words.push(`(${reason})`);
  return words.join(" ");
}

type Members = Readonly<Record<string, unknown>>;

export function statusText(reply: Members): string[] {
  const members = list(reply.members);
  const running = members.filter(({ state }) => state !== "lost" && state !== "left");
  const stopped = members.filter(({ state }) => state === "lost" || state === "left");
  const removed = list(reply.removed);
  const sources = list(reply.sources).map(({ name, state, addresses, error }) => [
    shown(name),
    shown(state),
    Array.isArray(addresses) ? addresses.map(shown).join(",") : "",
    error === undefined ? "" : shown(error),
  ]);
  const { omitted } = reply;
  const head = `cluster ${shown(reply.cluster)}, as ${shown(reply.name)} sees it at ${shown(reply.address)}`;
  return [
    reply.state === "running"
      ? head
      : `${head}: this node is ${STATES[String(reply.state)] ?? shown(reply.state)}`,
    ...table([["RUNNING NODES", "STATE", "ADDRESS", "HEARD", "TAGS", "ADVERTISES"], ...running.map(rowOf)]),
    ...(stopped.length + removed.length === 0
      ? []
      : table([
          ["STOPPED NODES", "STATE", "ADDRESS", "HEARD", "TAGS", "ADVERTISES"],
          ...stopped.map(rowOf),
          ...removed.map(({ name, id }) => [shown(name), "removed", "", "", `id ${shown(id)}`, ""]),
        ])),
    ...(typeof omitted === "number" ? [`and ${omitted} more`] : []),
    ...(sources.length === 0 ? [] : table([["SOURCE", "STATE", "ADDRESSES", "ERROR"], ...sources])),
  ];
}

const STATES: Readonly<Record<string, string>> = {
  minority: "in the minority of a split cluster",
  removed: "removed",
  draining: "draining",
};

function rowOf(member: Members): readonly string[] {
  const { name, state, address, silentFor, tags, endpoints, self } = member;
  return [
    shown(name),
    self === true ? `${shown(state)} (this node)` : shown(state),
    shown(address),
    self === true ? "" : age(silentFor),
    Array.isArray(tags) ? tags.map(shown).join(",") : "",
    entriesOf(endpoints)
      .map(([name]) => shown(name))
      .join(","),
  ];
}

export function clientsText({ clients, missing, omitted }: Members): string[] {
  const rows = list(clients).map(({ name, node, address, since }) => [
    shown(name),
    shown(node),
    shown(address),
    typeof since === "number" ? age(Date.now() - since) : "",
  ]);
  return [
    ...table([["CLIENT", "NODE", "ADDRESS", "CONNECTED"], ...rows]),
    ...(typeof omitted === "number" ? [`and ${omitted} more`] : []),
    ...(Array.isArray(missing) && missing.length > 0
      ? [`without an answer: ${missing.map(shown).join(", ")}`]
      : []),
  ];
}

export function sessionsText({ sessions, more, removed }: Members): string[] {
  if (removed !== undefined) return [`removed ${shown(removed)}`];
  const rows = list(sessions).map((session) => [
    shown(session.id),
    session.isConnected === true ? "connected" : "kept",
    typeof session.since === "number" ? age(Date.now() - session.since) : "",
    shown(session.filters),
    shown(session.queued),
    shown(session.queuedBytes),
    String(Number(session.droppedFull) + Number(session.droppedOld)),
  ]);
  return [
    ...table([["SESSION", "STATE", "SINCE", "FILTERS", "QUEUED", "BYTES", "DROPPED"], ...rows]),
    ...(more === undefined ? [] : [`and more: --after ${shown(more)}`]),
  ];
}

export function namesText(entries: readonly ClusterNodeEntry[]): string[] {
  return table([
    ["NODE", "CLUSTER", "ADDRESS", "PID", "CONTROL"],
    ...entries.map(({ name, cluster, address, pid, control }) => [
      shown(name),
      shown(cluster),
      shown(address),
      shown(pid),
      control.map(shown).join(" "),
    ]),
  ]);
}

export function eventsText(events: unknown): string[] {
  return list(events).map((event) => lineText({ event: "", name: "", ...event }));
}

function age(ms: unknown): string {
  if (typeof ms !== "number") return "";
  return ms < 1_000 ? "now" : `${since(ms)} ago`;
}

export function shown(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? printable(String(value)) : "";
}

export function list(value: unknown): readonly Members[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === "object" && each !== null) : [];
}
