/** A member as programs see it. */
import { type Details, endpointsByName, readEndpoint } from "../details.js";
import { type Member as KnownMember, MemberState as KnownState } from "../membership/members.js";
import { MESSAGES_PROP } from "../messaging/wire.js";
import { hostOf } from "../resolver.js";

export type MemberState = "alive" | "suspect" | "lost" | "left";

/** Snapshot of a member of a cluster. Frozen. */
export interface Member {
  /** 32 hexadecimal digits, new with each start of the node. */
  readonly id: string;
  /** `name@host`. */
  readonly name: string;
  readonly host: string;
  readonly state: MemberState;
  /** "host:port" for its packets, and its advertised endpoints. */
  readonly addresses: readonly string[];
  /** Advertised endpoints by name. */
  readonly endpoints: Readonly<Record<string, readonly string[]>>;
  readonly tags: readonly string[];
  readonly props: Readonly<Record<string, string>>;
  /** Whether it is on this host. */
  readonly local: boolean;
  /** Wall clock in ms of its start, and a counter of its statements. */
  readonly incarnation: { readonly start: number; readonly count: number };
  /** Wall clock in ms of its last sign of life. */
  readonly lastSeen: number;
  /** Whether it accepts no new work before it leaves. */
  readonly isDraining: boolean;
}

const STATES: Readonly<Record<KnownState, MemberState>> = {
  [KnownState.ALIVE]: "alive",
  [KnownState.SUSPECT]: "suspect",
  [KnownState.DEAD]: "lost",
  [KnownState.LEFT]: "left",
};

/** @param host this node's @param wallOffset wall clock minus the rules' time */
export function memberOf(member: Readonly<KnownMember>, host: string, wallOffset: number): Member {
  const details: Details = member.details;
  return Object.freeze({
    id: member.id,
    name: member.name,
    host: hostOf(member.name),
    state: STATES[member.state],
    addresses: Object.freeze([
      member.address,
      ...details.endpoints.map((text) => readEndpoint(text).endpoint),
    ]),
    endpoints: endpointsByName(details.endpoints),
    tags: details.tags,
    props: shownProps(details),
    local: hostOf(member.name) === host,
    incarnation: Object.freeze({ start: member.start, count: member.count }),
    lastSeen: Math.round(wallOffset + member.lastHeard),
    isDraining: member.draining,
  });
}

/** Props that programs see: without the node's own, where it takes messages. */
export function shownProps({ props }: Pick<Details, "props">): Readonly<Record<string, string>> {
  if (!Object.hasOwn(props, MESSAGES_PROP)) return props;
  const shown = Object.assign(Object.create(null), props) as Record<string, string>;
  delete shown[MESSAGES_PROP];
  return Object.freeze(shown);
}
