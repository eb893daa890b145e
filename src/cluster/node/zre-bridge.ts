/**
 * ZRE plane of a node: shows its peers as members, and its events as the cluster's.
 *
 * A peer's uuid is its id. Nothing on this plane is authenticated, so a member hides a peer with the same id.
 */

import type { EventStream } from "../../core/event-stream.js";
import { type ZreIdentity, ZrePlane, type ZreSettings } from "../../zre/plane.js";
import type { ZreEvent, ZreExitReason, ZrePeer } from "../../zre/rules.js";
import { LatestMap } from "../bounds.js";
import { endpointsByName } from "../details.js";
import type { ClusterEvent, LostReason } from "./events.js";
import type { Member } from "./member.js";
import type { NamespaceParts } from "./namespace-parts.js";

const LOST: Readonly<Record<Exclude<ZreExitReason, "left">, LostReason>> = {
  expired: "silent",
  refused: "connection",
  restarted: "connection",
  sequence: "connection",
  full: "connection",
};

export class ZreBridge {
  readonly plane: ZrePlane;
  readonly #namespace: NamespaceParts;
  readonly #events: EventStream<ClusterEvent>;
  /** Peers reported as members, with their last snapshots. */
  readonly #shown = new Map<string, Member>();
  /** Former peers, so that a returning one is `back`. */
  readonly #gone = new LatestMap<string, true>(256);

  constructor(
    settings: ZreSettings,
    identity: ZreIdentity,
    namespace: NamespaceParts,
    events: EventStream<ClusterEvent>,
  ) {
    this.#namespace = namespace;
    this.#events = events;
    this.plane = new ZrePlane(settings, identity, {
      event: (event) => this.#onPlaneEvent(event),
      count: (reason) => namespace.sockets.count(`zre:${reason}`),
    });
  }

  /** Peers that are not members. */
  peers(): Member[] {
    const peers = this.plane.peers().filter(({ uuid }) => this.#known(uuid) === undefined);
    return peers.map((peer) => this.#memberOf(peer));
  }

  find(nameOrId: string): Member | undefined {
    const peer = this.plane.peer(nameOrId);
    return peer === undefined ? undefined : (this.#known(peer.uuid) ?? this.#memberOf(peer));
  }

  /** @returns whether the new member was reported before, as a peer */
  onJoined(id: string): boolean {
    return this.#shown.delete(id);
  }

  #onPlaneEvent(event: ZreEvent): void {
    const { uuid } = event.peer;
    const known = this.#known(uuid);
    const member = known ?? this.#memberOf(event.peer);
    switch (event.type) {
      case "enter":
        if (known !== undefined) break;
        this.#shown.set(uuid, member);
        this.#events.emit(
          this.#gone.delete(uuid) ? { type: "back", member, restarted: false } : { type: "joined", member },
        );
        break;
      case "exit": {
        if (!this.#shown.delete(uuid) || known !== undefined) break;
        this.#gone.set(uuid, true);
        const gone = (state: Member["state"]): Member => Object.freeze({ ...member, state });
        if (event.reason === "left") this.#events.emit({ type: "left", member: gone("left") });
        else this.#events.emit({ type: "lost", member: gone("lost"), reason: LOST[event.reason] });
        break;
      }
      case "join":
        this.#events.emit({ type: "group:joined", member, group: event.group });
        break;
      case "leave":
        this.#events.emit({ type: "group:left", member, group: event.group });
        break;
      case "whisper":
        this.#events.emit({ type: "whisper", member, frames: event.frames });
        break;
      case "shout":
        this.#events.emit({ type: "shout", member, group: event.group, frames: event.frames });
        break;
    }
  }

  /** The other node of the cluster with an id, live or gone. */
  #known(id: string): Member | undefined {
    const { identity, membership } = this.#namespace;
    const member = id === identity.id ? undefined : membership?.get(id);
    return member && this.#namespace.memberOf(member);
  }

  #memberOf(peer: ZrePeer): Member {
    const host = /^tcp:\/\/(.*):\d+$/.exec(peer.endpoint)?.[1] ?? "";
    return Object.freeze({
      id: peer.uuid,
      name: peer.name,
      host,
      state: peer.evasive ? "suspect" : "alive",
      addresses: Object.freeze([peer.endpoint]),
      endpoints: endpointsByName([]),
      tags: Object.freeze([]),
      props: peer.headers,
      local: this.#namespace.sockets.isOwn(host),
      incarnation: Object.freeze({ start: 0, count: 0 }),
      lastSeen: Date.now(),
      isDraining: false,
      zre: true,
    });
  }
}
