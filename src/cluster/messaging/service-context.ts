/** Shared by sending to services and receiving from them: hooks, channels, counters. */
import type { Member } from "../node/member.js";
import { ClusterChannels } from "./channels.js";
import {
  type HookAbout,
  HookAnswer,
  type HookPayload,
  Hooks,
  type MessageStage,
  type Passed,
  type VetoError,
} from "./hooks.js";
import { Multicast } from "./multicast.js";
import { NodeQueues } from "./node-queues.js";
import { MessageKind } from "./parts.js";
import { PendingQueries } from "./query.js";
import { ServiceAdmission } from "./service-admission.js";
import type { ServiceLinks, ServicesEffects, ServicesOptions } from "./service-types.js";

/** Protocol of messages to this node itself. */
export const SELF = "self";

/** By what a message may go. */
export interface Means {
  /** By one datagram to the group where it fits. */
  readonly byDatagram: boolean;
  /** By which alone it goes; `undefined`: all. */
  readonly protocols: readonly string[] | undefined;
  /** Of these protocols, as links have it. */
  readonly lane: number;
}

/** Bytes of data, for bounds of queues. */
export function sizeOf(data: string | Buffer): number {
  return typeof data === "string" ? 2 * data.length : data.length;
}

export class ServiceContext {
  readonly effects: ServicesEffects;
  readonly links: ServiceLinks;
  readonly channels: ClusterChannels;
  readonly hooks: Hooks;
  readonly admission: ServiceAdmission;
  readonly pending: PendingQueries;
  readonly multicast: Multicast;
  /** Answers to queries. */
  readonly answers: NodeQueues;
  readonly counts = {
    sent: 0,
    failed: 0,
    received: 0,
    notJoined: 0,
    unhandled: 0,
    vetoed: 0,
    answered: 0,
  };
  readonly refused: Record<string, number> = {};
  closed = false;
  #selfId: string | undefined = undefined;

  constructor(effects: ServicesEffects, options: ServicesOptions) {
    this.effects = effects;
    this.links = effects.links;
    this.channels = new ClusterChannels(options.channels);
    this.hooks = new Hooks();
    this.admission = new ServiceAdmission(this.hooks, (member, error) =>
      effects.report({ type: "hook:failed", member, error }),
    );
    this.multicast = new Multicast(effects.group);
    this.answers = new NodeQueues(effects.links, MessageKind.SERVICE);
    // Answers to an earlier life match no query.
    this.pending = new PendingQueries(Math.floor(Math.random() * 2 ** 20));
  }

  refuse(reason: string): void {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
  }

  /** A hook vetoed a service's message, or the answer to one. */
  vetoed(member: Member, error: VetoError): void {
    this.counts.vetoed += 1;
    this.effects.report({ type: "hook:failed", member, error });
  }

  /** Passes a payload through stages, and its result on. */
  pass(
    stages: readonly MessageStage[],
    payload: HookPayload,
    about: HookAbout,
    onPassed: (payload: HookPayload) => void,
    onAnswer: (data: string | Buffer) => void,
    onVeto: (error: VetoError) => void,
  ): void {
    let passed: Passed;
    try {
      passed = this.hooks.pass(stages, payload, about);
    } catch (error) {
      onVeto(error as VetoError);
      return;
    }
    // A hook may have closed the node.
    if (this.closed) return;
    if (passed instanceof HookAnswer) onAnswer(passed.data);
    else onPassed(passed);
  }

  /** This node's, which never changes. */
  get selfId(): string {
    this.#selfId ??= this.effects.self().id;
    return this.#selfId;
  }
}
