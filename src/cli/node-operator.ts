/** Commands of a running node. Each method returns the members of a reply. */

import { lookup } from "node:dns/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClusterNode, Member } from "../cluster/index.js";
import { isBytes } from "../core/bytes.js";
import { thisProcess } from "../core/packages.js";
import { InvalidArgumentError, InvalidStateError, TimeoutError } from "../index.js";
import { bytesToJson } from "./format.js";
import { KeptLog, NodeMessages } from "./node-messages.js";
import type { NodeSessions } from "./node-servers.js";
import type { NodeLine } from "./node-text.js";

/** Bytes of a reply to a request. */
const MAX_ANSWER = 524_288;
/** Kept events, and their bytes as JSON. */
const MAX_EVENTS = 1_024;
const MAX_EVENT_BYTES = 1_048_576;
/** Pending requests for events. Of the control socket's other slots 16 are for subscribers, the rest for commands. */
const MAX_WATCHES = 32;
const MAX_REMOVED = 1_024;
/** Members in a reply; the rest is counted. */
const MAX_LISTED = 4_096;
/** ms. */
const JOIN_TIMEOUT = 3_000;
const JOIN_INTERVAL = 20;

export interface NodeRequest {
  readonly service: string;
  readonly text: string;
  /** ms. */
  readonly wait?: number;
}

export class NodeOperator {
  readonly node: ClusterNode;
  readonly #begun = performance.now();
  readonly #removed = new Map<string, string>();
  readonly #events = new KeptLog<NodeLine>(MAX_EVENTS, MAX_EVENT_BYTES);
  readonly messages: NodeMessages;

  #sessions: NodeSessions | undefined;

  constructor(node: ClusterNode) {
    this.node = node;
    this.messages = new NodeMessages(node);
    node.events.on("removed", ({ id, member }) => {
      if (id === node.id) return;
      this.#removed.delete(id);
      this.#removed.set(id, member?.name ?? id);
      if (this.#removed.size > MAX_REMOVED) this.#removed.delete(this.#removed.keys().next().value as string);
    });
    node.events.on("admitted", ({ id }) => void this.#removed.delete(id));
  }

  status(): object {
    const node = this.node;
    const { self } = node;
    const live = node.members({ self: false });
    const all = node.members({ self: false, gone: true });
    const gone = all.filter(({ state }) => state === "lost" || state === "left");
    const views = [...sorted(live), ...sorted(gone)];
    const removed = [...this.#removed].map(([id, name]) => ({ id, name }));
    return {
      name: self.name,
      id: self.id,
      pid: process.pid,
      process: thisProcess(),
      cluster: node.cluster,
      address: node.address,
      state: node.removed ? "removed" : node.draining ? "draining" : node.minority ? "minority" : "running",
      uptime: Math.round(performance.now() - this.#begun),
      runningNodes: this.#running(),
      stoppedNodes: [
        ...new Set([...sorted(gone).map(({ name }) => name), ...removed.map(({ name }) => name)]),
      ],
      members: [viewOf(self, true), ...views.slice(0, MAX_LISTED).map((member) => viewOf(member))],
      removed,
      ...(views.length > MAX_LISTED ? { omitted: views.length - MAX_LISTED } : {}),
      sources: node.discovery().map(({ error, ...source }) => ({
        ...source,
        ...(error === undefined ? {} : { error: error.message }),
      })),
      stats: node.stats(),
    };
  }

  #running(): string[] {
    return [this.node.self, ...sorted(this.node.members({ self: false }))].map(({ name }) => name);
  }

  /** Waits for a node at one of the addresses. @throws InvalidArgumentError for this node's own; TimeoutError */
  async join(addresses: readonly string[]): Promise<object> {
    const node = this.node;
    const wanted = new Set((await Promise.all(addresses.map(resolved))).flat());
    if (wanted.has(node.address))
      throw new InvalidArgumentError(`${node.address} is this node itself, ${node.name}`);
    const isThere = (): boolean =>
      node.members({ self: false }).some((member) => wanted.has(member.addresses[0] as string));
    if (!isThere()) {
      node.join(...addresses);
      const end = performance.now() + JOIN_TIMEOUT;
      while (!isThere() && performance.now() < end) await sleep(JOIN_INTERVAL);
    }
    if (!isThere())
      throw new TimeoutError(
        "ETIMEDOUT",
        `no node of the cluster ${node.cluster} answers at ${addresses.join(", ")}: nobody is there, or it has another key. ` +
          "It is dialled as long as this node runs",
      );
    return { runningNodes: this.#running() };
  }

  /** @throws InvalidArgumentError for this node; InvalidStateError if it is removed; UnroutableError */
  remove(nameOrId: string): object {
    const node = this.node;
    const { self } = node;
    const member = node.member(nameOrId);
    if (member?.id === self.id || nameOrId === self.id)
      throw new InvalidArgumentError(`${self.name} is this node itself: it leaves by "shoal node leave"`);
    if (member === undefined) {
      const removed = this.#removedOf(nameOrId);
      if (removed !== undefined) throw new InvalidStateError("EFSM", `${removed.name} is removed already`);
    }
    const gone = member ?? this.#memberOf(nameOrId);
    const name = gone?.name ?? nameOrId;
    const id = gone?.id ?? nameOrId;
    node.remove(nameOrId);
    return { removed: name, id };
  }

  /** @throws UnroutableError for a node that was not removed */
  admit(nameOrId: string): object {
    const removed = this.#removedOf(nameOrId);
    if (removed === undefined && this.#memberOf(nameOrId) !== undefined)
      throw new InvalidStateError("EFSM", `${nameOrId} is not removed`);
    this.node.admit(removed?.id ?? nameOrId);
    return { admitted: removed?.name ?? nameOrId, id: removed?.id ?? nameOrId };
  }

  /** @throws InvalidStateError if the node is in no minority */
  heal(): void {
    if (!this.node.minority)
      throw new InvalidStateError(
        "EFSM",
        "this node is in no minority of a split cluster: nothing is to be healed",
      );
    this.node.heal();
  }

  async clients(): Promise<object> {
    const { clients, missing } = await this.node.clients();
    return {
      clients: clients.slice(0, MAX_LISTED),
      missing,
      ...(clients.length > MAX_LISTED ? { omitted: clients.length - MAX_LISTED } : {}),
    };
  }

  sessionsOf(sessions: NodeSessions): void {
    this.#sessions = sessions;
  }

  /** Lists stored sessions, or removes one. @throws InvalidStateError without a server; SessionError */
  sessions(after: string | undefined, remove: string | undefined): Promise<object> {
    const sessions = this.#sessions;
    if (sessions === undefined)
      return Promise.reject(
        new InvalidStateError(
          "EFSM",
          "this node serves no sessions (--sessions EP, or sessions of its configuration)",
        ),
      );
    return remove === undefined ? sessions.list(after) : sessions.remove(remove);
  }

  /** @throws ServiceError, TimeoutError, InvalidArgumentError */
  async request({ service, text, wait }: NodeRequest): Promise<object> {
    const reply = await this.node.request(service, text, { timeout: wait });
    const bytes = isBytes(reply) ? reply.length : Buffer.byteLength(JSON.stringify(reply) ?? "");
    if (bytes > MAX_ANSWER)
      throw new InvalidStateError(
        "EFSM",
        `a reply must have at most ${MAX_ANSWER} bytes to be printed; got ${bytes}`,
      );
    return { reply: isBytes(reply) ? bytesToJson(Buffer.from(reply)) : (reply ?? "") };
  }

  note(line: NodeLine): void {
    let kept = line;
    let bytes = Buffer.byteLength(JSON.stringify(kept));
    if (bytes > MAX_EVENT_BYTES / 16) {
      // Long messages of other programs are cut from the event.
      const { frames: _, text: __, ...short } = line;
      kept = { ...short, event: line.event, name: line.name, isCut: true };
      bytes = Buffer.byteLength(JSON.stringify(kept));
    }
    this.#events.add(kept, bytes);
  }

  /** @param after `next` of the last reply; absent: from now on @throws InvalidStateError `ERR_TOO_MANY_PENDING` */
  async watch(after: number | undefined, wait: number): Promise<object> {
    const log = this.#events;
    if (after === undefined) return { events: [], next: log.last, missed: 0 };
    if (log.last <= after && log.waiting >= MAX_WATCHES)
      throw new InvalidStateError(
        "ERR_TOO_MANY_PENDING",
        `${MAX_WATCHES} requests for events wait already: try again`,
      );
    const { entries, ...more } = await log.after(after, wait);
    return { events: entries, ...more };
  }

  end(): void {
    this.messages.end();
    this.#events.end();
  }

  #removedOf(nameOrId: string): { readonly id: string; readonly name: string } | undefined {
    for (const [id, name] of [...this.#removed].reverse())
      if (id === nameOrId || name === nameOrId || name.startsWith(`${nameOrId}@`)) return { id, name };
    return undefined;
  }

  /** Also members that are gone. */
  #memberOf(nameOrId: string): Member | undefined {
    return this.node
      .members({ gone: true })
      .find(({ id, name }) => id === nameOrId || name === nameOrId || name.startsWith(`${nameOrId}@`));
  }
}

async function resolved(address: string): Promise<string[]> {
  const at = address.lastIndexOf(":");
  const host = address.slice(0, at).replace(/^\[(.*)\]$/, "$1");
  // The name may be a node's own.
  const found = at < 1 ? [] : await lookup(host, { all: true }).catch(() => []);
  return [
    address,
    ...found.map(({ address: ip, family }) => `${family === 6 ? `[${ip}]` : ip}${address.slice(at)}`),
  ];
}

function sorted(members: readonly Member[]): Member[] {
  return [...members].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id < b.id ? -1 : 1));
}

/** `silentFor`: ms since the last sign of life. */
function viewOf(member: Member, isSelf = false): object {
  const { id, name, state, addresses, tags, props, endpoints, lastSeen, isDraining } = member;
  return {
    id,
    name,
    state: state === "alive" ? (isDraining ? "draining" : "running") : state,
    address: addresses[0] ?? "",
    tags,
    props,
    endpoints,
    silentFor: isSelf ? 0 : Math.max(0, Date.now() - lastSeen),
    ...(isSelf ? { self: true } : {}),
  };
}
