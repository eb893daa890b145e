/** Replies of a running node as tables. Another program may have answered, so nothing is trusted. */
import type { ClusterNodeEntry } from "../cluster/index.js";
import { lineText } from "./node-lines.js";
import { printable, table } from "./terminal.js";

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
  const { name, state, address, silentFor, tags, endpoints, self, zre, yields } = member;
  const marks = [
    ...(self === true ? ["this node"] : []),
    ...(zre === true ? ["zre"] : []),
    ...(yields === true ? ["name taken"] : []),
  ];
  return [
    shown(name),
    marks.length === 0 ? shown(state) : `${shown(state)} (${marks.join(", ")})`,
    shown(address),
    self === true ? "" : age(silentFor),
    Array.isArray(tags) ? tags.map(shown).join(",") : "",
    Object.keys((endpoints ?? {}) as Members)
      .map(shown)
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

export function age(ms: unknown): string {
  if (typeof ms !== "number") return "";
  if (ms < 1_000) return "now";
  if (ms < 120_000) return `${Math.round(ms / 1_000)} s ago`;
  return ms < 7_200_000 ? `${Math.round(ms / 60_000)} min ago` : `${Math.round(ms / 3_600_000)} h ago`;
}

export function shown(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? printable(String(value)) : "";
}

export function list(value: unknown): readonly Members[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === "object" && each !== null) : [];
}
