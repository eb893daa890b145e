/**
 * Enforces a side's replaceable policy.
 *
 *   addresses  the engine, before the handshake and at its end
 *   keys       the socket's hook, during it; the engine, at its end
 *   topics     topics.ts, for each message and subscription that passes
 *   limits     peer, messageSize: the engine;  all: Throttle below, where messages are taken
 */

import { ClosedError, NotSupportedError } from "../../core/errors.js";
import { type Rate, RateMeter } from "../../core/rate-meter.js";
import { systemClock } from "../../core/timers.js";
import { type FolderKeys, KeyFolder } from "../../sockets/security/key-folder.js";
import { CORE, type Socket } from "../../sockets/socket.js";
import type { SocketCore } from "../../sockets/socket-core.js";
import type { Authenticate } from "../../sockets/socket-options.js";
import type { ProxyEvents } from "../events.js";
import type { ProxySide } from "../pairs.js";
import { AddressRules, type ProxyPolicy, type ProxyPolicyReason } from "./policy.js";
import { TopicRules } from "./topics.js";

type PeerCredentials = Parameters<Authenticate>[0];

const NOBODY: Partial<PeerCredentials> = {};

export class SidePolicy {
  readonly throttle = new Throttle(() => this.refuse("rate", 1));
  readonly refused: Record<ProxyPolicyReason, number> = { address: 0, key: 0, topic: 0, size: 0, rate: 0 };
  readonly #side: ProxySide;
  readonly #events: ProxyEvents;
  #policy: ProxyPolicy;
  #socket: Socket | undefined = undefined;
  /** The program's hook. */
  #authenticate: ((peer: PeerCredentials) => Promise<boolean>) | undefined = undefined;
  #addresses: AddressRules | undefined = undefined;
  topics: TopicRules | undefined = undefined;
  #folder: KeyFolder | undefined = undefined;
  #changing: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(side: ProxySide, policy: ProxyPolicy = {}, events: ProxyEvents) {
    this.#side = side;
    this.#policy = policy;
    this.#events = events;
  }

  /**
   * Call it before the socket binds or connects.
   *
   * @throws InvalidArgumentError `EINVAL` for an unreadable key folder; NotSupportedError `NOT_SUPPORTED` if the engine
   *   cannot enforce it
   */
  async open(socket: Socket): Promise<void> {
    this.#socket = socket;
    this.#authenticate = socket[CORE].engineAuthenticate;
    await this.replace();
  }

  /**
   * One call at a time; before `open` the policy is only stored. A failure keeps the last policy.
   * @param policy absent: the one that calls before this one leave
   * @throws as `open`; ClosedError `EBADF`
   */
  replace(policy?: ProxyPolicy): Promise<void> {
    const done = this.#changing.then(() => this.#replace(policy ?? this.#policy));
    this.#changing = done.catch(() => undefined); // The caller has the error.
    return done;
  }

  close(): void {
    this.#closed = true;
    this.#folder?.close();
  }

  refuse(reason: ProxyPolicyReason, count: number, peer: Partial<PeerCredentials> = NOBODY): void {
    this.refused[reason] += count;
    this.#events.policyRefused(this.#side, reason, count, peer);
  }

  async #replace(policy: ProxyPolicy): Promise<void> {
    const socket = this.#socket;
    if (socket === undefined) {
      this.#policy = policy;
      return;
    }
    if (this.#closed) throw new ClosedError("EBADF", `The ${this.#side} is closed`);
    const needs = needsPeers(policy);
    if (needs !== undefined && socket[CORE].engine.policing === undefined)
      throw new NotSupportedError(
        `The ${socket.context.engine} engine cannot carry out ${needs} in the policy of ${this.#side}: ` +
          "it cannot check and slow down peers one by one",
      );
    const folder = await this.#folderFor(policy.keys);
    if (this.#closed) {
      folder?.close();
      throw new ClosedError("EBADF", `The ${this.#side} was closed while its policy was replaced`);
    }
    this.#enforce(socket[CORE], policy, folder);
  }

  async #folderFor(path: string | undefined): Promise<KeyFolder | undefined> {
    if (path === undefined || path === this.#folder?.path)
      return path === undefined ? undefined : this.#folder;
    const folder: KeyFolder = await KeyFolder.open(path, (now) => {
      if (folder === this.#folder) this.#keysChanged(now);
    });
    return folder;
  }

  /** Applies all parts in one turn, so no peer meets half a policy. */
  #enforce(core: SocketCore, policy: ProxyPolicy, folder: KeyFolder | undefined): void {
    const { addresses, topics, limits } = policy;
    this.#policy = policy;
    this.#addresses = addresses === undefined ? undefined : new AddressRules(addresses);
    this.topics = topics === undefined ? undefined : new TopicRules(topics);
    this.throttle.change(limits?.all);
    const before = this.#folder;
    this.#folder = folder;
    if (before !== folder) before?.close();
    const own = this.#authenticate;
    core.engineAuthenticate =
      folder === undefined ? own : async (peer) => this.#hasKey(peer) && (own === undefined || own(peer));
    const { policing } = core.engine;
    policing?.police({
      admits: (address) => this.#admits({ address }),
      joins: (peer) => this.#joins(peer),
      rate: limits?.peer,
      messageSize: limits?.messageSize,
      held: () => this.refuse("rate", 1),
      tooLong: (address) => this.refuse("size", 1, { address }),
    });
    policing?.disconnectPeers((peer) => !this.#joins(peer));
    if (folder !== undefined && folder !== before) this.#reportKeys(folder.now, 0);
  }

  #keysChanged(now: FolderKeys): void {
    const revoked = this.#socket?.[CORE].engine.policing?.disconnectPeers((peer) => !this.#joins(peer)) ?? 0;
    this.#reportKeys(now, revoked);
  }

  #reportKeys({ keys, problems }: FolderKeys, revoked: number): void {
    const { events } = this.#events;
    events.emit({ type: "keys:changed", side: this.#side, keys: keys.size, revoked, problems });
  }

  /** Checks again at the end of the handshake, since the policy may have changed. */
  #joins(peer: PeerCredentials): boolean {
    return this.#admits(peer) && this.#hasKey(peer);
  }

  #admits(peer: Pick<PeerCredentials, "address"> & Partial<PeerCredentials>): boolean {
    if (this.#addresses?.allows(peer.address) !== false) return true;
    this.refuse("address", 1, peer);
    return false;
  }

  #hasKey(peer: PeerCredentials): boolean {
    const keys = this.#folder?.now.keys;
    if (keys === undefined || (peer.publicKey !== undefined && keys.has(peer.publicKey))) return true;
    this.refuse("key", 1, peer);
    return false;
  }
}

function needsPeers({ addresses, keys, limits }: ProxyPolicy): string | undefined {
  if (addresses !== undefined) return "addresses";
  if (keys !== undefined) return "keys";
  if (limits?.messageSize !== undefined) return "a size of messages";
  return limits?.peer === undefined ? undefined : "a rate for each peer";
}

/** Excess messages of a side's peers wait in its queues. */
export class Throttle {
  readonly held: () => void;
  #meter: RateMeter | undefined = undefined;

  constructor(held: () => void) {
    this.held = held;
  }

  change(rate: Rate | undefined): void {
    const now = systemClock.now();
    if (rate === undefined) this.#meter = undefined;
    else if (this.#meter === undefined) this.#meter = new RateMeter(rate, now);
    else this.#meter.change(rate, now);
  }

  get messages(): number {
    return this.#meter === undefined ? Number.POSITIVE_INFINITY : this.#meter.messages(systemClock.now());
  }

  /** One message or batch of 64 KiB may exceed them. */
  get bytes(): number {
    return this.#meter === undefined ? Number.POSITIVE_INFINITY : this.#meter.bytes(systemClock.now());
  }

  spend(messages: number, bytes: number): void {
    this.#meter?.spend(messages, bytes);
  }

  get wait(): number {
    return this.#meter?.hold(systemClock.now()) ?? 0;
  }
}
