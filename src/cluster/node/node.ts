import type { Duplex } from "node:stream";
import { quoted } from "../../core/arguments.js";
import { InvalidArgumentError, InvalidStateError, NotSupportedError } from "../../core/errors.js";
import { MACHINE } from "../../engine/zmtp/transport/transports.js";
import { ZrePlane } from "../../zre/plane.js";
import { type ClusterTlsOptions, checkTls } from "../admission/tls.js";
import { MAX_NAMESPACES } from "../bounds.js";
import { createId, fullName } from "../identity.js";
import { type ClusterNodeEntry, checkControl, register } from "../registry.js";
import { ClusterNamespace } from "./namespace.js";
import type { NodeIdentity } from "./namespace-parts.js";
import { NodeSockets } from "./node-sockets.js";
import {
  type ClusterNamespaceOptions,
  type ClusterNodeOptions,
  checkNodeProtocols,
  type NodeSettings,
  namespaceSettings,
  nodeSettings,
} from "./options.js";

/**
 * A node that finds and keeps the others of its cluster: `await node.start()` joins, `node.members()` and `node.events`
 * show the members, `await node.leave()` leaves. Without options it keeps to its host.
 *
 * @example
 * ```ts
 * import { ClusterNode } from "shoal/cluster";
 *
 * const cluster = `node-${process.pid}`; // Default: "default", the same for every program of this host.
 * const [mill, farm] = ["mill", "farm"].map((name) => new ClusterNode({ name, cluster }));
 * await Promise.all([mill.start(), farm.start()]);
 * mill.serve("grind", (grain) => `${grain}, ground`);
 * console.log(await farm.request("grind", "wheat", { waitForReady: true })); // wheat, ground
 * await Promise.all([mill.close(), farm.close()]);
 * ```
 */
export class ClusterNode extends ClusterNamespace {
  readonly #namespaces = new Set<ClusterNamespace>();
  readonly #settings: NodeSettings;
  #starting: Promise<void> | undefined;
  #started = false;
  readonly #zre: ZrePlane | undefined;
  #unregister: (() => Promise<void>) | undefined;
  #control: readonly string[] = [];

  /** @throws InvalidArgumentError `EINVAL`, also for the scope `link` without a key */
  constructor(options: ClusterNodeOptions = {}) {
    const { node, first } = nodeSettings(options);
    const sockets = new NodeSockets(node);
    super("ClusterNode", node.namespace, identityOf(node, sockets), sockets, first);
    this.#settings = node;
    if (node.zre === undefined) return;
    const self = { uuid: this.id, name: this.name.split("@")[0] as string };
    this.#zre = new ZrePlane(node.zre, self, (reason) => sockets.count(`zre:${reason}`));
  }

  /** 32 hexadecimal digits. */
  get id(): string {
    return this.identity.id;
  }

  /** "host:port" of additional listeners (`listen`); empty before the start. */
  get listeners(): readonly string[] {
    return [...this.sockets.listeners];
  }

  /** `name@host`. */
  get name(): string {
    return this.identity.name;
  }

  /**
   * Opens the sockets and joins. Repeated calls return the first promise; after a failure nothing is open, and a new
   * call starts again. The node has joined by then, so a failed start of its ZRE plane closes the node.
   *
   * @throws TransportError `EADDRINUSE` and the system's other codes; InvalidArgumentError `EINVAL` for an unknown
   * interface; NotSupportedError `ERR_ENGINE_UNAVAILABLE` for a key or password without WebAssembly (`node --jitless`);
   * ClosedError `EBADF`
   */
  start(): Promise<void> {
    if (this.closed) return this.run(async () => this.assertOpen());
    this.#starting ??= this.run(async () => {
      this.assertOpen();
      try {
        for (const namespace of [this, ...this.#namespaces]) await namespace.parts.codec.load();
        await this.sockets.open(this.id);
      } catch (error) {
        this.#starting = undefined;
        throw error;
      }
      if (this.closed) await this.#abandon();
      // First, so that this node's first details say where it takes messages.
      await this.parts.messages.start();
      // First, so that a caller that listens after `start` misses no member's event.
      await this.#register();
      if (this.closed) await this.#abandon();
      this.#started = true;
      this.begin();
      for (const namespace of this.#namespaces) this.#beginLoaded(namespace);
      await this.#startZre();
    });
    return this.#starting;
  }

  /** A later cluster may be the node's first one with a key. */
  #beginLoaded(namespace: ClusterNamespace): void {
    const loading = namespace.parts.codec.load();
    if (loading === undefined) namespace.begin();
    else
      void loading.then(
        () => {
          if (!namespace.closed) namespace.begin();
        },
        () => namespace.close(),
      );
  }

  /** @throws ClosedError `EBADF` */
  async #abandon(): Promise<void> {
    await this.sockets.close();
    this.assertOpen();
  }

  /**
   * Renews the certificates of `tls` at runtime, for new streams.
   *
   * @throws InvalidArgumentError `EINVAL` for invalid PEM or a key that does not match, and for a node that was started
   * without `tls`
   */
  setTls(options: ClusterTlsOptions): void {
    const { tls } = this.sockets;
    const checked = checkTls("tls", options);
    if (tls === undefined)
      throw new InvalidArgumentError("a node that began without tls gets none while it runs");
    tls.set(checked);
  }

  /**
   * Takes part over a stream of the program: an HTTP upgrade or a proxy's CONNECT (`acceptLinks`, `dialLink` of
   * `shoal/link`), a WebSocket (`createWebSocketStream` of the package `ws`), or any Duplex. Both nodes call it with
   * their end. The stream carries membership and messages of all clusters (`namespace`) that both had joined, while it
   * is open. Linked nodes need different addresses (option `announce`): a second one with the same address is refused.
   * When the stream closes, the program makes the next one.
   *
   * @returns the other node's address, once both have proved the cluster's key and their own
   * @throws HandshakeError `ERR_AUTHENTICATION` if one end refused the other, `ERR_HANDSHAKE` if the other end is not a
   * node of this cluster; TransportError `ERR_TRANSPORT`; InvalidStateError `EFSM` before the start
   */
  async link(stream: Duplex): Promise<string> {
    // One that was dialled meanwhile would stay open.
    if (this.closed) stream?.destroy?.();
    this.checkReachable([]);
    return this.sockets.streams.link(stream);
  }

  // --- The nodes of this host -----------------------------------------------------------------------------------------

  /**
   * Replaces the endpoints of this node's control socket in `clusterNames()`. Default: none.
   *
   * @throws InvalidArgumentError `EINVAL` for more than 8, or one of more than 256 characters
   */
  showControl(endpoints: readonly string[]): void {
    this.#control = checkControl(endpoints);
  }

  async #register(): Promise<void> {
    // A simulation has no files.
    if (!this.#settings.registry || this.sockets.platform !== MACHINE) return;
    const { id, name, cluster } = this;
    const [pid, since] = [process.pid, Date.now()];
    const entry = (): ClusterNodeEntry => {
      const { address, port } = this.sockets;
      return { id, name, cluster, address, port, pid, since, control: this.#control };
    };
    try {
      this.#unregister = await register(entry);
    } catch (error) {
      this.sockets.count("registry");
      this.report({ type: "registry:down", error: error as Error });
    }
  }

  // --- The ZRE plane -------------------------------------------------------------------------------------------------

  /**
   * The ZRE plane: peers, groups, shouts and whispers, unencrypted. ZRE peers are no members. Groups may be joined before
   * the start.
   *
   * @throws NotSupportedError `NOT_SUPPORTED` without `zre`; ClosedError `EBADF`
   */
  get zre(): ZrePlane {
    this.assertOpen();
    if (this.#zre === undefined)
      throw new NotSupportedError("the node has no ZRE plane: give it the option zre");
    return this.#zre;
  }

  async #startZre(): Promise<void> {
    if (this.#zre === undefined || this.closed) return;
    try {
      await this.#zre.start();
    } catch (error) {
      void this.close({ linger: 0 });
      throw error;
    }
  }

  /**
   * Joins another cluster on the same sockets, with separate members, tags and keys: at once, or when the node starts. The
   * first one with a key, on a running node, joins when the key's code has loaded, some 50 ms later; until then its calls
   * throw as before the start.
   *
   * @param name 1 to 64 bytes
   * @throws InvalidArgumentError `EINVAL`; InvalidStateError `EFSM` for a joined cluster, or too many; NotSupportedError
   * `ERR_ENGINE_UNAVAILABLE` as `start`
   */
  namespace(name: string, options: ClusterNamespaceOptions = {}): ClusterNamespace {
    this.assertOpen();
    const settings = namespaceSettings("namespace", name, options, this.#settings.scope);
    checkNodeProtocols(settings, this.#settings.tls);
    if (this.#settings.curve !== undefined && settings.keys.length === 0)
      throw new InvalidArgumentError("a cluster of a node with curve needs a key or a password, too");
    const namespace = new ClusterNamespace("ClusterNamespace", name, this.identity, this.sockets, settings);
    const { codec } = namespace.parts;
    if ([this, ...this.#namespaces].some(({ parts }) => parts.codec.namespace === codec.namespace))
      throw new InvalidStateError("EFSM", `the node is in the cluster ${quoted(name)} already`);
    if (this.#namespaces.size + 1 >= MAX_NAMESPACES)
      throw new InvalidStateError(
        "EFSM",
        `a node is in ${MAX_NAMESPACES} clusters at most, its first one included`,
      );
    void namespace.parts.codec.load();
    if (this.#started) this.#beginLoaded(namespace);
    this.#namespaces.add(namespace);
    namespace.onEnd(() => this.#namespaces.delete(namespace));
    return namespace;
  }

  /** @internal Drains all clusters of the node. */
  protected override async onDrain(): Promise<void> {
    this.sockets.isDraining = true;
    const open = [...this.#namespaces].filter((namespace) => !namespace.closed);
    const drained = [super.onDrain(), ...open.map((namespace) => namespace.drain())];
    await Promise.allSettled(drained);
    await Promise.all(drained);
  }

  protected override async onClose(linger: number): Promise<void> {
    // A protocol's listener may never open.
    if (!this.#started) void this.parts.messages.links.close(linger);
    await this.#starting?.catch(() => undefined); // The caller of start() gets the error.
    await Promise.all([
      ...[...this.#namespaces].map((namespace) => namespace.close({ linger })),
      this.#zre?.close(linger),
      this.#unregister?.(),
      super.onClose(linger),
    ]);
    await this.sockets.close();
  }
}

function identityOf({ name }: NodeSettings, { platform }: NodeSockets): NodeIdentity {
  const id = createId();
  // A node's name allows fewer characters.
  const host = platform.hostName().replace(/[^A-Za-z0-9._-]/g, "-") || "localhost";
  return { id, name: fullName(name ?? `node-${id.slice(0, 6)}`, host) };
}
