/** Numbers of the membership rules for a kind of network. Times are in ms. */
import { checkKeys, invalidArgument, quoted } from "../core/arguments.js";
import { InvalidArgumentError } from "../core/errors.js";

/** Of the profile `lan`, with the least and the most of each. */
export const NUMBERS = {
  /** Time between probes by this node. 0: no probes; members stay alive by heartbeats within `ttl`. */
  probeInterval: [500, 0, 3_600_000],
  /**
   * How long a ping may be unanswered before other members are asked to ping. Lower detects failures sooner, and
   * mistakes slow members for dead ones more often.
   */
  probeTimeout: [200, 1, 3_600_000],
  /** Members asked for an indirect ping. */
  indirectProbes: [3, 0, 16],
  /**
   * Length of a confirmed suspicion in probe intervals: `suspicionBase + suspicionStep * log10(N)`. Lower detects
   * failures sooner; higher gives slow members more time to refute.
   */
  suspicionBase: [1.5, 0, 100],
  suspicionStep: [0.5, 0, 100],
  /** Factor of that length for a suspicion without confirmations. */
  suspicionMax: [6, 1, 100],
  /** Further accusers that confirm a suspicion. */
  confirmations: [3, 0, 7],
  /** Time between gossip messages. */
  gossipInterval: [100, 1, 3_600_000],
  /** Members that get each gossip message. */
  gossipNodes: [3, 1, 64],
  /**
   * Transmissions of an update: `gossipFactor * max(1.5, log10(N + 1))`. Higher spreads more reliably and costs more
   * packets.
   */
  gossipFactor: [4, 1, 64],
  /**
   * How long a digest mismatch must persist before nodes exchange their full state (anti-entropy). Lower repairs sooner
   * and costs more exchanges.
   */
  settle: [1_500, 1, 3_600_000],
  /** Time between periodic exchanges with a random member. */
  syncInterval: [30_000, 1, 86_400_000],
  /** Time between pings to dead members and to seeds without a member. */
  redialInterval: [700, 1, 86_400_000],
  /** Time after which a dead member is forgotten, except for its address and incarnation (tombstone timeout). */
  autoclean: [300_000, 1, 2_147_483_647],
  /** Time between heartbeats to the multicast group. */
  heartbeatInterval: [60_000, 1, 86_400_000],
  /** Time without a sign of life after which a member is dead, if there are no probes. */
  ttl: [0, 0, 2_147_483_647],
  /** Period over which answers to `discover` are spread. */
  discoverTime: [200, 0, 65_535],
  /** Wanted answers to `discover`; 0: all. */
  discoverAnswers: [8, 0, 65_535],
  /** How long the membership view must be unchanged before a split is decided. */
  stableFor: [1_000, 0, 86_400_000],
} as const;

export type Profile = { readonly [K in keyof typeof NUMBERS]: number };

const LAN = Object.freeze(
  Object.fromEntries(Object.entries(NUMBERS).map(([name, [standard]]) => [name, standard])),
) as unknown as Profile;

/** Profiles by name, compared in docs/clusters.md. */
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
  /** Nodes on one machine. */
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
  /** Tcl's cluster package: heartbeats every two minutes, a time to live of ten, no probes. */
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

/**
 * A profile with changed numbers.
 *
 * @throws InvalidArgumentError `EINVAL` for an unknown name or number, one out of its range, a probe timeout not below
 * the probe interval, or a profile with neither probes nor `ttl`
 */
export function resolveProfile(name: ProfileName = "lan", own: Partial<Profile> = {}): Profile {
  if (!Object.hasOwn(PROFILES, name))
    throw new InvalidArgumentError(
      `the profile must be one of ${Object.keys(PROFILES).join(", ")}; got ${quoted(name)}`,
    );
  checkKeys("profile", own, Object.keys(NUMBERS));
  const profile = Object.freeze({ ...PROFILES[name], ...own });
  for (const [key, [, least, most]] of Object.entries(NUMBERS)) {
    const value = profile[key as keyof Profile];
    if (typeof value !== "number" || !(value >= least && value <= most))
      throw new InvalidArgumentError(
        `profile.${key} must be a number from ${least} to ${most}; got ${String(value)}`,
      );
  }
  if (profile.probeInterval > 0 && profile.probeTimeout >= profile.probeInterval)
    throw invalidArgument(
      `profile.probeTimeout must be below probeInterval, ${profile.probeInterval} ms`,
      profile.probeTimeout,
    );
  if (profile.probeInterval === 0 && profile.ttl === 0)
    throw new InvalidArgumentError("a profile without probes needs a ttl");
  return profile;
}
