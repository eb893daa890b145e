/** A node of a cluster: its sockets, and the first of its buses. */
import { InvalidStateError } from "../../core/errors.js";
import { createId, fullName } from "../identity.js";
import { ClusterBus, type NodeIdentity } from "./bus.js";
import { NodeSockets } from "./node-sockets.js";
import {
  type BusSettings,
  busSettings,
  type ClusterBusOptions,
  type ClusterNodeOptions,
  type NodeSettings,
  nodeSettings,
} from "./options.js";

/**
 * A node that finds the others of its cluster and keeps them: `await node.start()` joins, `node.members()` and
 * `node.events` say who is there, `await node.leave()` leaves. Without options it keeps to its host.
 */
export class ClusterNode extends ClusterBus {
  readonly #buses = new Set<ClusterBus>();
  readonly #settings: NodeSettings;
  #starting: Promise<void> | undefined;
  #started = false;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value, and for the scope `link` without a key */
  constructor(options: ClusterNodeOptions = {}) {
    const { node, first } = nodeSettings(options);
    const sockets = new NodeSockets(node);
    super("ClusterNode", node.bus, identityOf(node, sockets), sockets, first);
    this.#settings = node;
  }

  /** 32 hexadecimal digits. */
  get id(): string {
    return this.identity.id;
  }

  /** `name@host`. */
  get name(): string {
    return this.identity.name;
  }

  /**
   * Opens the sockets and calls the others; they join as they answer. Starting twice is starting once.
   *
   * @throws TransportError `EADDRINUSE` and the system's other codes; InvalidArgumentError `EINVAL` for an unknown interface;
   *   ClosedError `EBADF`
   */
  start(): Promise<void> {
    this.#starting ??= this.run(async () => {
      this.assertOpen();
      await this.sockets.open();
      if (this.closed) {
        await this.sockets.close();
        this.assertOpen();
      }
      this.#started = true;
      this.begin();
      for (const bus of this.#buses) BusOfNode.begin(bus);
    });
    return this.#starting;
  }

  /**
   * Another bus on the same sockets, with members, tags and a key of its own. It joins at once, or when the node starts.
   *
   * @param name 1 to 64 bytes
   * @throws InvalidArgumentError `EINVAL` for a name that is taken and for bad options; InvalidStateError `EFSM` for too many
   */
  bus(name: string, options: ClusterBusOptions = {}): ClusterBus {
    this.assertOpen();
    const settings = busSettings("bus", options, this.#settings.scope);
    const bus = new BusOfNode(name, this.identity, this.sockets, settings, () => this.#buses.delete(bus));
    if ([this, ...this.#buses].some((each) => each.codec.bus === bus.codec.bus))
      throw new InvalidStateError("EFSM", `the node has a bus ${JSON.stringify(name)} already`);
    if (this.#started) BusOfNode.begin(bus);
    this.#buses.add(bus);
    return bus;
  }

  protected override async onClose(linger: number): Promise<void> {
    await this.#starting?.catch(() => undefined);
    await Promise.all([...[...this.#buses].map((bus) => bus.close({ linger })), super.onClose(linger)]);
    await this.sockets.close();
  }
}

class BusOfNode extends ClusterBus {
  readonly #onEnd: () => void;

  constructor(
    name: string,
    identity: NodeIdentity,
    sockets: NodeSockets,
    settings: BusSettings,
    onEnd: () => void,
  ) {
    super("ClusterBus", name, identity, sockets, settings);
    this.#onEnd = onEnd;
  }

  static begin(bus: ClusterBus): void {
    (bus as BusOfNode).begin();
  }

  protected override async onClose(linger: number): Promise<void> {
    await super.onClose(linger);
    this.#onEnd();
  }
}

function identityOf({ name }: NodeSettings, { platform }: NodeSockets): NodeIdentity {
  const id = createId();
  // A host's name may have what a node's name does not.
  const host = platform.hostName().replace(/[^A-Za-z0-9._-]/g, "-") || "localhost";
  return { id, name: fullName(name ?? `node-${id.slice(0, 6)}`, host) };
}
