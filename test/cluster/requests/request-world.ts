/** Callers and serving nodes in virtual time: links in order for each pair, and handlers that take time. */

import type { Candidate, NodeLoad } from "../../../src/cluster/requests/balancer.js";
import { encodeBody } from "../../../src/cluster/requests/body.js";
import type { CallTerms } from "../../../src/cluster/requests/call.js";
import { RequestCalls } from "../../../src/cluster/requests/calls.js";
import {
  type Job,
  RequestServing,
  type ServedQueue,
  type ServingSettings,
} from "../../../src/cluster/requests/serving.js";
import { BodyForm, decodeRequest } from "../../../src/cluster/requests/wire.js";
import { randomOf } from "../simulation/world.js";

export const SERVICE = "work";

export const TERMS: CallTerms = {
  service: SERVICE,
  extras: undefined,
  body: { form: BodyForm.TEXT, data: "" },
  timeout: 5_000,
  attemptTimeout: -1,
  retries: 3,
  retryDelay: 20,
  maxRetryDelay: 1_000,
  idempotent: false,
  waitForReady: false,
  self: true,
  node: undefined,
};

export const SETTINGS: ServingSettings = {
  concurrency: 4,
  maxQueue: 8,
  maxQueueBytes: 65_536,
  keepReplies: 60_000,
};

/** What the calls of the service know of its nodes. */
export function loadsOf({ targets }: RequestCalls): Iterable<NodeLoad> {
  return targets.get(SERVICE)?.balancer.nodes.values() ?? [];
}

/** What a handler does with a request: ms that it takes, and whether it fails; of a stream its parts. */
export interface Work {
  readonly ms: number;
  readonly fails: boolean;
  readonly parts: number;
  /** ms from one part to the next; default 0. */
  readonly pause?: number;
}

export class WorldNode {
  readonly id: string;
  readonly world: World;
  readonly calls: RequestCalls;
  readonly serving: RequestServing;
  service: ServedQueue | undefined;
  /** Known to the others as serving. */
  isServing = false;
  /** Whom it knows to serve. */
  candidates: readonly Candidate[] = [];
  /** Bodies of requests that its handler was given. */
  readonly runs: string[] = [];
  /** What its handler was given last. */
  job: Job | undefined;
  readonly aborted: string[] = [];

  constructor(world: World, id: string) {
    this.world = world;
    this.id = id;
    this.calls = new RequestCalls({
      candidates: () => this.candidates,
      isSettling: () => false,
      queues: {
        send: (to, item) => world.send(this, to, item),
        sendLater: (to, item) => void world.carry(this, to, item),
      },
      nameOf: (node) => node,
      random: world.random,
      report: () => undefined,
    });
    this.serving = new RequestServing(
      {
        start: (job) => this.#start(job),
        aborted: (job) => {
          this.aborted.push(job.item.body.toString());
          job.credit?.wake();
        },
      },
      {
        sendLater: (to, item, done) => {
          world.carry(this, to, item);
          done?.(world.nodes.has(to) ? "sent" : "unreachable");
        },
        answer: (to, item) => void world.carry(this, to, item),
      },
    );
  }

  serve(settings: Partial<ServingSettings> = {}): void {
    this.service = this.serving.add(SERVICE, { ...SETTINGS, ...settings });
    this.isServing = true;
    this.world.changed();
  }

  receive(from: string, bytes: Buffer): void {
    const item = decodeRequest(bytes);
    if (typeof item === "string") throw new Error(`junk: ${item}`);
    const { now } = this.world;
    if (!this.serving.onItem(now, from, item)) this.calls.onItem(now, from, item);
  }

  #start(job: Job): void {
    const body = job.item.body.toString();
    if (this.service?.isDraining === true) throw new Error(`${this.id} drains and begins ${body}`);
    this.runs.push(body);
    this.job = job;
    const { world } = this;
    const work = world.workOf(this, body);
    world.later(work.ms, () => {
      if (work.fails) this.serving.fail(world.now, job, "worker-failed", "as it was told");
      else if (job.credit !== undefined) this.#stream(job, work.parts, work.pause);
      else this.serving.reply(world.now, job, encodeBody(`${body}!`));
    });
  }

  #stream(job: Job, parts: number, pause = 0): void {
    let sent = 0;
    const step = (): void => {
      if (job.state === "abandoned" || job.state === "over" || sent === parts) {
        this.serving.end(this.world.now, job);
        return;
      }
      if (job.credit?.hasRoom !== true) {
        job.credit?.whenRoom(() => this.world.later(0, step));
        return;
      }
      sent += 1;
      this.serving.part(job, encodeBody(`${sent}`), () => this.world.later(pause, step));
    };
    step();
  }
}

interface Event {
  readonly at: number;
  readonly order: number;
  run(): void;
}

export class World {
  now = 0;
  readonly random: () => number;
  readonly nodes = new Map<string, WorldNode>();
  workOf: (node: WorldNode, body: string) => Work = () => ({ ms: 1, fails: false, parts: 3 });
  #events: Event[] = [];
  #order = 0;
  /** When the last item of a pair arrives. */
  readonly #last = new Map<string, number>();
  constructor(seed: number) {
    this.random = randomOf(seed);
  }

  add(id: string): WorldNode {
    const node = new WorldNode(this, id);
    this.nodes.set(id, node);
    return node;
  }

  get(id: string): WorldNode {
    return this.nodes.get(id) as WorldNode;
  }

  changed(): void {
    const candidates = [...this.nodes.values()]
      .filter(({ isServing }) => isServing)
      .map(({ id }) => ({ id, distance: 1 }));
    for (const node of this.nodes.values()) {
      node.candidates = candidates;
      node.calls.onChanged(this.now);
    }
  }

  later(ms: number, run: () => void): void {
    this.#order += 1;
    this.#events.push({ at: this.now + ms, order: this.#order, run });
  }

  send(from: WorldNode, to: string, item: Buffer): "sent" | "full" | "unreachable" {
    if (!this.nodes.has(to)) return "unreachable";
    this.carry(from, to, item);
    return "sent";
  }

  carry({ id }: WorldNode, to: string, item: Buffer): void {
    const pair = `${id} ${to}`;
    const at = Math.max(this.now + this.random() * 3, this.#last.get(pair) ?? 0);
    this.#last.set(pair, at);
    this.later(at - this.now, () => this.nodes.get(to)?.receive(id, item));
  }

  /** Runs what is due until a time. */
  runUntil(until: number): void {
    for (;;) {
      const next = this.#next();
      const wakeUp = this.#nextWakeUp();
      const at = Math.min(next?.at ?? Number.POSITIVE_INFINITY, wakeUp);
      if (at > until) break;
      this.now = Math.max(this.now, at);
      if (next !== undefined && next.at <= wakeUp) {
        this.#events.splice(this.#events.indexOf(next), 1);
        next.run();
      } else
        for (const { calls, serving } of this.nodes.values()) {
          calls.tick(this.now);
          serving.tick(this.now);
        }
    }
    this.now = until;
  }

  #next(): Event | undefined {
    let first: Event | undefined;
    for (const each of this.#events)
      if (first === undefined || each.at < first.at || (each.at === first.at && each.order < first.order))
        first = each;
    return first;
  }

  #nextWakeUp(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { calls, serving } of this.nodes.values()) {
      first = Math.min(first, calls.nextWakeUp() ?? first, serving.nextWakeUp() ?? first);
    }
    return first;
  }
}
