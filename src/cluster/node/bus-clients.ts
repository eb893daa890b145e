/** The clients of a bus: its own discovery server, and what the servers of the other nodes answer. */
import { DISCOVERY_PROP } from "../clients/description.js";
import { ClientRoster, type ClusterClients, type OwnClient, type RosterEffects } from "../clients/roster.js";
import type { Member } from "../membership/members.js";

/** A discovery server, as its node sees it. */
export interface BusDiscovery {
  clients(): Iterable<OwnClient>;
  /** A member, or this node itself, may be another than before. */
  changed(): void;
  /** The node leaves: what the server says is no longer true. */
  nodeOnClose(linger: number): Promise<void>;
}

export class BusClients {
  readonly #roster: ClientRoster;
  #server: BusDiscovery | undefined;

  constructor(effects: RosterEffects) {
    this.#roster = new ClientRoster(effects);
  }

  /** A discovery server of this node; `undefined`: it closes. */
  serve(server: BusDiscovery | undefined): void {
    this.#server = server;
    this.#roster.own = server && (() => server.clients());
  }

  /**
   * Asks the nodes that have a discovery server.
   *
   * @param self this node's name
   * @throws InvalidStateError `ERR_TOO_MANY_PENDING`
   */
  async list(self: string, live: readonly Member[], timeout: number): Promise<ClusterClients> {
    const asked = live.filter(({ details }) => Object.hasOwn(details.props, DISCOVERY_PROP));
    const ask = this.#roster.ask(self, asked);
    const timer = setTimeout(() => ask.end(), timeout);
    await ask.complete;
    clearTimeout(timer);
    return ask.end();
  }

  /** @returns whether the bytes were understood */
  onData({ id, name }: Readonly<Member>, data: Uint8Array): boolean {
    return this.#roster.onData(id, name, data);
  }

  onGone(id: string): void {
    this.#roster.onGone(id);
  }

  selfChanged(): void {
    this.#server?.changed();
  }

  /** Nobody is waited for; the server ends with the node. */
  async close(linger: number): Promise<void> {
    this.#roster.close();
    await this.#server?.nodeOnClose(linger);
  }
}
