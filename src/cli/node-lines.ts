/**
 * Lines of `shoal node start`: its own start, each present member, then each change.
 *
 *   ready ──> joined for each member ──> suspect, lost, back, left, removed, conflict, minority, healed …
 *
 * A text line begins with the time. A JSON line has `event`, `name` and `time`, and `group` for a ZRE group.
 */
import type { ClusterEvent } from "../cluster/index.js";
import { printable } from "./terminal.js";

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
  readonly group?: string;
  readonly frames?: readonly Buffer[];
}

export const LINE_EVENTS = [
  ...(["joined", "suspect", "lost", "cleared", "back", "restarted", "left", "removed", "admitted"] as const),
  ...(["draining", "conflict", "minority", "healed"] as const),
  ...(["group:joined", "group:left", "shout", "whisper"] as const),
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
  conflict: "is the name of two nodes",
  minority: "is in the smaller part of a split cluster",
  healed: "is in a whole cluster again",
  shout: "shouts",
  whisper: "whispers",
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
    const { type, group, frames, reason } = change;
    const event = type.replace(/^group:/, "");
    const { id } = change;
    const member = change.member ?? (id === undefined ? this.#self : { id, name: id });
    if (group === undefined) {
      if (type === "joined") {
        if (this.#named.has(member.id)) return;
        this.#named.add(member.id);
      } else if (type === "back") this.#named.add(member.id);
      else if (GONE.has(type)) this.#named.delete(member.id);
    }
    this.#write({
      event,
      ...whoOf(member),
      ...(group === undefined ? {} : { group }),
      ...(reason === undefined ? {} : { reason }),
      ...(frames?.length === 1 ? { text: String(frames[0]) } : {}),
      ...(frames === undefined ? {} : { frames: frames.map(String) }),
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

export function lineText({ time, ...line }: NodeLine): string {
  return printable(`${typeof time === "string" ? `${time} ` : ""}${wordsOf(line as NodeLine)}`);
}

function wordsOf({ event, name, host, group, reason, frames, address }: NodeLine): string {
  const who = host === undefined ? name : `${name}@${host}`;
  if (event === "ready") return `${who} is ready${address === undefined ? "" : ` at ${address}`}`;
  const words = [who, WORDS[event] ?? event];
  if (group !== undefined) words.push(event === "shout" ? `to ${group}:` : String(group));
  else if (event === "whisper") words[1] += ":";
  if (reason !== undefined) words.push(`(${reason})`);
  if (Array.isArray(frames)) words.push(frames.join(" "));
  return words.join(" ");
}
