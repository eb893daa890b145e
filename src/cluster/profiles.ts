/** What a network is like: the numbers that the rules live by, in one table. Times are in ms. */
import { checkKeys, quoted } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";

export interface Profile {
  /** Between two probes of this node; 0: none, members live by their beats alone (`ttl`). */
  readonly probeInterval: number;
  /** Until an unanswered ping goes through others. */
  readonly probeTimeout: number;
  /** Others that are asked. */
  readonly indirectProbes: number;
  /** Probe intervals that a confirmed suspicion lasts: `suspicionBase + suspicionStep * log10(N)`. */
  readonly suspicionBase: number;
  readonly suspicionStep: number;
  /** Times as long without a confirmation. */
  readonly suspicionMax: number;
  /** Further accusers that confirm it. */
  readonly confirmations: number;
  readonly gossipInterval: number;
  readonly gossipNodes: number;
  /** An update is sent so often, times log10(N + 1). */
  readonly gossipFactor: number;
  /** That a difference of pictures outlasts gossip, before it is repaired. */
  readonly settle: number;
  /** Between two synchronizations without any reason. */
  readonly syncInterval: number;
  readonly redialInterval: number;
  /** After which a dead member is forgotten, but for its address and incarnation. */
  readonly autoclean: number;
  /** Between two beats to a group. */
  readonly heartbeatInterval: number;
  /** Without a sign of life, where there are no probes. */
  readonly ttl: number;
  /** Within which answers to `discover` are spread. */
  readonly discoverTime: number;
  /** Answers that `discover` wants; 0: all. */
  readonly discoverAnswers: number;
  /** That a picture is unchanged before a split is decided. */
  readonly stableFor: number;
}

const LAN: Profile = Object.freeze({
  probeInterval: 500,
  probeTimeout: 200,
  indirectProbes: 3,
  suspicionBase: 1.5,
  suspicionStep: 0.5,
  suspicionMax: 6,
  confirmations: 3,
  gossipInterval: 100,
  gossipNodes: 3,
  gossipFactor: 4,
  settle: 1_500,
  syncInterval: 30_000,
  redialInterval: 700,
  autoclean: 300_000,
  heartbeatInterval: 60_000,
  ttl: 0,
  discoverTime: 200,
  discoverAnswers: 8,
  stableFor: 1_000,
});

/** By name; docs/internals/cluster.md shows them side by side. */
export const PROFILES = Object.freeze({
  lan: LAN,
  /** Round trips of up to a second. */
  wan: Object.freeze({
    ...LAN,
    probeInterval: 3_000,
    probeTimeout: 1_500,
    gossipInterval: 300,
    gossipNodes: 4,
    settle: 6_000,
    syncInterval: 60_000,
    redialInterval: 2_000,
    heartbeatInterval: 120_000,
    discoverTime: 1_000,
    stableFor: 5_000,
  }),
  /** One machine. */
  local: Object.freeze({
    ...LAN,
    probeInterval: 300,
    probeTimeout: 100,
    gossipInterval: 50,
    settle: 1_000,
    redialInterval: 500,
    discoverTime: 50,
    stableFor: 700,
  }),
  /** Tcl's cluster package: beats every two minutes, ten minutes to live, nobody is probed. */
  tcl: Object.freeze({
    ...LAN,
    probeInterval: 0,
    redialInterval: 60_000,
    autoclean: 600_000,
    heartbeatInterval: 120_000,
    ttl: 600_000,
    discoverTime: 5_000,
    discoverAnswers: 0,
    stableFor: 120_000,
  }),
} satisfies Record<string, Profile>);

export type ProfileName = keyof typeof PROFILES;

/** Of each number: the least and the greatest. */
const RANGES: { readonly [K in keyof Profile]: readonly [number, number] } = {
  probeInterval: [0, 3_600_000],
  probeTimeout: [1, 3_600_000],
  indirectProbes: [0, 16],
  suspicionBase: [0, 100],
  suspicionStep: [0, 100],
  suspicionMax: [1, 100],
  confirmations: [0, 7],
  gossipInterval: [1, 3_600_000],
  gossipNodes: [1, 64],
  gossipFactor: [1, 64],
  settle: [1, 3_600_000],
  syncInterval: [1, 86_400_000],
  redialInterval: [1, 86_400_000],
  autoclean: [1, 2_147_483_647],
  heartbeatInterval: [1, 86_400_000],
  ttl: [0, 2_147_483_647],
  discoverTime: [0, 65_535],
  discoverAnswers: [0, 65_535],
  stableFor: [0, 86_400_000],
};

/**
 * A profile by name, with numbers of one's own.
 *
 * @throws InvalidArgumentError `EINVAL` for an unknown name or number, one out of its range, a probe timeout that is not below its
 * interval, and where neither probes nor a time to live find the dead
 */
export function resolveProfile(name: ProfileName = "lan", own: Partial<Profile> = {}): Profile {
  if (!Object.hasOwn(PROFILES, name))
    throw new InvalidArgumentError(
      `the profile must be one of ${Object.keys(PROFILES).join(", ")}; got ${quoted(name)}`,
    );
  checkKeys("profile", own, Object.keys(RANGES));
  const profile = Object.freeze({ ...PROFILES[name], ...own });
  for (const [key, [least, most]] of Object.entries(RANGES)) {
    const value = profile[key as keyof Profile];
    if (typeof value !== "number" || !(value >= least && value <= most))
      throw new InvalidArgumentError(
        `profile.${key} must be a number from ${least} to ${most}; got ${String(value)}`,
      );
  }
  if (profile.probeInterval > 0 && profile.probeTimeout >= profile.probeInterval)
    throw new InvalidArgumentError("profile.probeTimeout must be below probeInterval");
  if (profile.probeInterval === 0 && profile.ttl === 0)
    throw new InvalidArgumentError("a profile without probes needs a ttl");
  return profile;
}
