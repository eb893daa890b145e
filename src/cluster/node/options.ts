import { isIP, isIPv4 } from "node:net";
import { invalidArgument, quoted } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { passwordKey } from "../../core/password.js";
import { encodeZ85 } from "../../core/z85.js";
import {
  anything,
  boolean,
  checkKeys,
  checkOptions,
  choice,
  type Given,
  integer,
  type Settings,
  text,
} from "../../kit/options.js";
import { type ZreNodeOptions, type ZreSettings, zreSettings } from "../../zre/plane.js";
import { type CurveOptions, checkCurve } from "../admission/identities.js";
import {
  type ClusterListenerTls,
  type ClusterTlsOptions,
  checkListenerTls,
  checkTls,
} from "../admission/tls.js";
import { MAX_ENDPOINTS, MAX_KEYS, MAX_SEEDS } from "../bounds.js";
import { createDetails } from "../details.js";
import { type DiscoveryFunction, type DiscoverySource, sourcesOf } from "../discovery/source.js";
import { namespaceNumber } from "../identity.js";
import type { SplitStrategy } from "../membership/splits.js";
import { type MessagingOptions, messagingSettings } from "../messaging/options.js";
import { MESSAGES_PROP } from "../messaging/wire.js";
import { canonicalAddress, checkAddress } from "../net/addresses.js";
import type { GroupAddress } from "../net/datagrams.js";
import { checkPorts } from "../ports.js";
import { type Profile, type ProfileName, resolveProfile } from "../profiles.js";

/** Numbers and booleans are sent as text. */
export type PropValue = string | number | boolean;

/** A profile by name, or one with changed numbers. */
export type ClusterProfile =
  | ProfileName
  | (Partial<Profile> & {
      /** Default: by the scope. */
      readonly base?: ProfileName | undefined;
    });

const SPLIT_OPTIONS = {
  strategy: anything<"majority" | { readonly quorum: number } | "none">(),
  /** Whether a minority rejoins by itself when the partition heals. Default `true`. */
  autoheal: boolean(true),
};

/** docs/clusters.md compares the strategies. */
export type SplitSettings = Given<typeof SPLIT_OPTIONS>;

export const LISTENER_OPTIONS = {
  /** IP address to bind. Default: that of the node's own listener. */
  host: text(),
  /** Default 0: a free one. */
  port: integer({ default: 0, min: 0, max: 65_535 }),
  /** "FIRST-LAST": the first free port, with `port` before the others. */
  ports: anything<string>(),
  /**
   * `false`: without TLS. A certificate: shown here instead of the node's, with its own `ca` if given. Default: as the
   * node (`tls`).
   */
  tls: anything<boolean | ClusterListenerTls>(),
};

export type ClusterListener = Given<typeof LISTENER_OPTIONS>;

export type Scope = "host" | "link";

const NAMESPACE_OPTIONS = {
  tags: anything<readonly string[]>(),
  props: anything<Readonly<Record<string, PropValue>>>(),
  /** Endpoints to advertise from the start, by name: `{ billing: "tcp://*:5555" }`. See `advertise`. */
  advertise: anything<Readonly<Record<string, string | readonly string[]>>>(),
  /** "host:port" of possible nodes, now or later; "[v6]:port" with `ipv6`. The system resolves names. */
  seeds: anything<readonly string[]>(),
  /**
   * Up to 16 discovery sources, such as `dnsSource`, or functions, whose addresses are dialled in addition to the
   * seeds.
   */
  discovery: anything<readonly (DiscoverySource | DiscoveryFunction)[]>(),
  /** 40 characters of Z85. Of two keys, the first seals and both open. */
  key: anything<string | readonly string[]>(),
  /**
   * Instead of a key: 8 to 1,024 bytes from which the cluster's key is derived (scrypt, about 0.2 s, salted with the
   * cluster name). Of two, the first seals and both open. Recorded packets allow trying passwords offline, so use a
   * long one.
   */
  password: anything<string | readonly string[]>(),
  /** Default: `local` for the scope `host`, else `lan`. */
  profile: anything<ClusterProfile>(),
  split: anything<SplitSettings>(),
  /**
   * Whether programs publish, subscribe and send in this cluster. `false` opens no sockets for messages. Default
   * `true`.
   */
  messaging: anything<boolean | MessagingOptions>(),
};

/** Options of a further cluster of a node (`namespace`); all are optional. */
export type ClusterNamespaceOptions = Given<typeof NAMESPACE_OPTIONS>;

const NAMESPACE_KEYS = Object.keys(NAMESPACE_OPTIONS) as (keyof ClusterNamespaceOptions)[];

const MULTICAST_OPTIONS = {
  group: text(),
  port: integer({ max: 65_535 }),
  /** Hops: 1 (default) is the local network, up to 255 crosses routers. With the scope `host` always 0. */
  ttl: integer({ default: 1, max: 255 }),
};

export const NODE_OPTIONS = {
  ...NAMESPACE_OPTIONS,
  /** Name, or name@host. Default: `node-` and the first digits of its id. */
  name: text(),
  /** Name of the first cluster. Default `default`. */
  cluster: text(),
  /** `host` (default): only this machine. `link`: the local networks; requires a `key` or a `password`. */
  scope: choice(["host", "link"]),
  /** Name or address of the interface. Default: all active ones. */
  interface: text(),
  /**
   * Whether the node also uses IPv6, on the same port. Its address for others stays IPv4 if it has one, unless
   * `interface` or `announce` is IPv6. All nodes need this if one has only an IPv6 address. Default `false`.
   */
  ipv6: boolean(false),
  /** UDP and TCP port. Default 0: a free one. */
  port: integer({ default: 0, min: 0, max: 65_535 }),
  /**
   * "FIRST-LAST": ports that a firewall lets through. The node uses `port` if it is free, else the first free one of
   * these; its listener for messages and the mailbox of `zre` use the next ones.
   */
  ports: anything<string>(),
  /** Up to 8 additional listeners for streams, for other networks or behind a translated port. */
  listen: anything<readonly ClusterListener[]>(),
  /** "host:port" at which other nodes reach it, if that differs from its own. */
  announce: text(),
  /**
   * Whether nodes find each other by multicast, and the group. Default `true`; with a source in `discovery`, `false`.
   */
  multicast: anything<boolean | Given<typeof MULTICAST_OPTIONS>>(),
  /**
   * Whether `clusterNames()` and `shoal node names` list this node for its user on this host. Default `true`. A failure
   * is the event `registry:down`, counted as `registry` in `stats().dropped`.
   */
  registry: boolean(true),
  /**
   * A key of this node, in addition to the cluster's `key` or `password`, and the admitted keys of other nodes. A node
   * becomes a member only after it proved an allowed key over a stream, and is removed when its key leaves the folder.
   * Either all nodes of a cluster have this, or none.
   */
  curve: anything<CurveOptions>(),
  /**
   * TLS 1.3 below this node's streams, in addition to the cluster's `key` or `password`: both ends show a certificate
   * signed by `ca`, and a node becomes a member only over such a stream. Datagrams and messages stay sealed. Either all
   * nodes of a cluster have this, or none; a listener of `listen` may differ.
   */
  tls: anything<ClusterTlsOptions>(),
  /**
   * Whether the node is also a peer of zyre's programs on the local network (36/ZRE), without keys, up to about 100
   * nodes. Default `false`. Without a `key` the cluster itself still uses only this host.
   */
  zre: anything<boolean | ZreNodeOptions>(),
};

/** Options of a {@link ClusterNode}; all are optional. */
export type ClusterNodeOptions = Given<typeof NODE_OPTIONS>;

/** Our group is organization-local; that of the profile tcl belongs to Tcl's cluster package. */
const GROUP = { group: "239.192.83.72", port: 23_772 };
const TCL_GROUP = { group: "230.230.230.230", port: 23_000 };

export type NamespaceSettings = ReturnType<typeof namespaceSettings>;

export type NodeSettings = ReturnType<typeof nodeSettings>["node"];

export function nodeSettings(options: ClusterNodeOptions) {
  const given = checkOptions("ClusterNode", NODE_OPTIONS, options);
  const scope = given.scope ?? "host";
  const namespaceOptions = Object.fromEntries(
    NAMESPACE_KEYS.map((key) => [key, given[key]]),
  ) as ClusterNamespaceOptions;
  const first = namespaceSettings("ClusterNode", given.cluster ?? "default", namespaceOptions, scope);
  const tls = given.tls === undefined ? undefined : checkTls("tls", given.tls);
  checkNodeProtocols(first, tls);
  return {
    first,
    node: Object.freeze({
      name: given.name,
      namespace: given.cluster ?? "default",
      scope,
      interface: given.interface,
      port: given.port,
      listen: listenersOf(given.listen ?? [], tls),
      ipv6: given.ipv6,
      ports: checkPorts(given.ports),
      announce: given.announce === undefined ? undefined : checkAddress("announce", given.announce),
      registry: given.registry,
      curve: curveOf(given.curve, first),
      tls,
      zre: zreOf(given),
      group: groupOf(given.multicast ?? first.discovery.length === 0, given.profile, scope),
    }),
  };
}

function listenersOf(given: readonly ClusterListener[], nodeTls: ClusterTlsOptions | undefined) {
  if (!Array.isArray(given)) throw invalidArgument("listen must be an array", given);
  if (given.length > MAX_ENDPOINTS)
    throw new InvalidArgumentError(`listen has ${MAX_ENDPOINTS} listeners at most; got ${given.length}`);
  return given.map((each: ClusterListener) => {
    const { host, port, ports, tls } = checkOptions("listen", LISTENER_OPTIONS, each);
    if (host !== undefined && isIP(host) === 0)
      throw invalidArgument("listen.host must be an IP address", host);
    return { host, port, ports: checkPorts(ports), tls: listenerTlsOf(tls, nodeTls) };
  });
}

/** @returns `undefined`: as the node; `false`: without TLS */
function listenerTlsOf(
  given: ClusterListener["tls"],
  nodeTls: ClusterTlsOptions | undefined,
): ClusterTlsOptions | false | undefined {
  if (given === undefined || given === false) return given;
  if (given !== true) return checkListenerTls(given, nodeTls?.ca);
  if (nodeTls === undefined) throw new InvalidArgumentError("listen.tls is true, and the node has no tls");
  return undefined;
}

function curveOf(given: CurveOptions | undefined, { keys }: NamespaceSettings): CurveOptions | undefined {
  if (given === undefined) return undefined;
  if (keys.length === 0)
    throw new InvalidArgumentError(
      "curve needs a key or a password, too: without one packets are not sealed",
    );
  return checkCurve(given);
}

function zreOf({
  zre = false,
  scope,
  interface: wanted,
  ports,
}: Settings<typeof NODE_OPTIONS>): ZreSettings | undefined {
  if (zre === false) return undefined;
  if (zre !== true && (typeof zre !== "object" || zre === null || Array.isArray(zre)))
    throw invalidArgument("zre must be true, false or an object", zre);
  if (scope === "host")
    throw new InvalidArgumentError('the ZRE plane is on the local network: not with the scope "host"');
  return zreSettings({ interface: wanted, ports, ...(zre === true ? {} : zre) });
}

export function namespaceSettings(
  what: string,
  namespace: string,
  options: ClusterNamespaceOptions,
  scope: Scope,
) {
  checkKeys(what, options, NAMESPACE_KEYS);
  const byPassword = options.password !== undefined;
  if (byPassword && options.key !== undefined)
    throw new InvalidArgumentError("a cluster has a key or a password, not both");
  const given = options.password ?? options.key;
  const keys = given === undefined ? [] : secretsOf(byPassword ? "password" : "key", given);
  if (scope === "link" && keys.length === 0)
    throw new InvalidArgumentError(
      'the scope "link" needs a key, 40 characters of Z85, or a password: without one a node keeps to its host',
    );
  const tags = options.tags ?? [];
  if (!Array.isArray(tags)) throw invalidArgument("tags must be an array", tags);
  const props = propTexts(options.props ?? {});
  checkShown(props);
  createDetails(1, tags, props, []);
  const seeds = options.seeds ?? [];
  if (!Array.isArray(seeds)) throw invalidArgument("seeds must be an array", seeds);
  if (seeds.length > MAX_SEEDS)
    throw new InvalidArgumentError(`seeds must be at most ${MAX_SEEDS}; got ${seeds.length}`);
  return Object.freeze({
    tags: [...tags],
    props,
    advertised: options.advertise ?? {},
    seeds: [...new Set(seeds.map((seed) => seedOf(seed)))],
    discovery: sourcesOf(options.discovery ?? []),
    keys: byPassword ? passwordKeys(keys, namespace) : keys,
    byPassword,
    profile: profileOf(options.profile, scope),
    ...splitOf(options.split ?? {}),
    hasMessages: options.messaging !== false,
    messaging: messagingSettings(options.messaging),
  });
}

export function checkNodeProtocols(
  { messaging }: NamespaceSettings,
  tls: ClusterTlsOptions | undefined,
): void {
  const protocols = messaging.protocols ?? [];
  if (tls === undefined && protocols.includes("tls"))
    throw new InvalidArgumentError("the protocol tls needs the certificates of the node's option tls");
  if (tls !== undefined && protocols.includes("tcp"))
    throw new InvalidArgumentError("the port of a node with the option tls has the protocol tls, not tcp");
}

function seedOf(seed: string): string {
  checkAddress("a seed", seed);
  return canonicalAddress(seed);
}

export function passwordKeys(passwords: readonly string[], namespace: string): readonly string[] {
  namespaceNumber(namespace); // Refuses an invalid name before the expensive derivation.
  if (passwords.length < 1 || passwords.length > MAX_KEYS)
    throw new InvalidArgumentError(`a cluster has 1 to ${MAX_KEYS} passwords; got ${passwords.length}`);
  return secretsOf("password", passwords).map((password) => keyOfPassword(password, namespace));
}

function propTexts(props: Readonly<Record<string, PropValue>>): Record<string, string> {
  if (typeof props !== "object" || props === null || Array.isArray(props))
    throw invalidArgument("props must be an object", props);
  const texts = Object.create(null) as Record<string, string>;
  for (const [key, value] of Object.entries(props)) {
    if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean")
      throw invalidArgument(`prop ${quoted(key)} must be a text, a number, true or false`, value);
    texts[key] = String(value);
  }
  return texts;
}

/** @throws InvalidArgumentError `EINVAL` for the prop of messaging, which is sent with the program's */
export function checkShown(props: Readonly<Record<string, unknown>>): void {
  if (Object.hasOwn(props, MESSAGES_PROP))
    throw new InvalidArgumentError(`the prop ${MESSAGES_PROP} is the node's own`);
}

/** `undefined` removes a prop. */
export function changeProps(
  props: Readonly<Record<string, string>>,
  changes: Readonly<Record<string, PropValue | undefined>>,
): Record<string, string> {
  if (typeof changes !== "object" || changes === null || Array.isArray(changes))
    throw invalidArgument("a change of props must be an object", changes);
  // No prototype: a key may be "__proto__".
  const next = Object.assign(Object.create(null), props) as Record<string, PropValue>;
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) delete next[key];
    else next[key] = value;
  }
  return propTexts(next);
}

/** The message omits the value, which may be a secret of another type. */
function secretsOf(name: string, value: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length === 0 || !list.every((each) => typeof each === "string"))
    throw new InvalidArgumentError(`${name} must be a text or an array of texts`);
  return list as readonly string[];
}

function profileOf(given: ClusterProfile | undefined, scope: Scope): Profile {
  const standard: ProfileName = scope === "host" ? "local" : "lan";
  if (given === undefined || typeof given === "string") return resolveProfile(given ?? standard);
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw invalidArgument("profile must be a name or an object", given);
  const { base, ...own } = given;
  return resolveProfile(base ?? standard, own);
}

function splitOf(given: SplitSettings): { strategy: SplitStrategy; autoheal: boolean } {
  const { strategy = "majority", autoheal } = checkOptions("split", SPLIT_OPTIONS, given);
  if (strategy === "majority" || strategy === "none") return { strategy, autoheal };
  const { quorum } = Object(strategy) as { readonly quorum?: number };
  if (Object.keys(Object(strategy)).length === 1 && Number.isSafeInteger(quorum) && (quorum as number) >= 1)
    return { strategy: { quorum: quorum as number }, autoheal };
  throw invalidArgument('split.strategy must be "majority", "none" or { quorum: 1 or more }', strategy);
}

function isTcl(profile: ClusterProfile | undefined): boolean {
  return (typeof profile === "object" && profile !== null ? profile.base : profile) === "tcl";
}

function groupOf(
  given: NonNullable<ClusterNodeOptions["multicast"]>,
  profile: ClusterProfile | undefined,
  scope: Scope,
): GroupAddress | undefined {
  if (given === false) return undefined;
  const standard = isTcl(profile) ? TCL_GROUP : GROUP;
  const settings = checkOptions("multicast", MULTICAST_OPTIONS, given === true ? {} : given);
  const { group = standard.group, port = standard.port, ttl } = settings;
  if (!isIPv4(group) || !/^2(?:2[4-9]|3\d)\./.test(group))
    throw invalidArgument("multicast.group must be an address from 224.0.0.0 to 239.255.255.255", group);
  return { group, port, ttl: scope === "host" ? 0 : ttl };
}

/**
 * A cluster's key, 40 characters of Z85. The first call for a password blocks for about 0.2 s.
 *
 * @param password 8 to 1,024 bytes of UTF-8
 * @throws InvalidArgumentError `EINVAL` for a password that is too short or too long
 */
export function keyOfPassword(password: string, namespace: string): string {
  // The cluster name is in the salt: one password gives each cluster another key.
  return encodeZ85(passwordKey(password, `shoal cluster password 1 ${namespace}`));
}
