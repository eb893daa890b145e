/**
 * The sides of a proxy that are in clusters: each with a node of its own, so that a proxy is the edge between two of them.
 *
 *   --frontend-connect cluster:NAME   what members of the side's cluster advertise, as they come and go
 *   --backend-advertise NAME          where the side listens, for the members of its cluster
 *
 * When the proxy stops, what it advertises is withdrawn first, and it drains when the others know.
 */
import type { ClusterNode } from "../cluster/index.js";
import type { EndpointSource } from "../index.js";
import { ClusterEndpoints, clusterNodeOf } from "./cluster-endpoints.js";
import { type ClusterSettings, isOfCluster } from "./cluster-options.js";
import { asUsage, UsageError } from "./failure.js";
import type { Log } from "./log.js";

/** What is withdrawn from a cluster when the proxy stops is ended by the proxy itself. */
const NOTHING_TO_DRAIN = { drain: async () => undefined, close: async () => undefined };

export interface ClusterSideOptions {
  readonly connect: readonly string[];
  /** A name to advertise the side's endpoints under. */
  readonly advertise: string | undefined;
  readonly cluster: ClusterSettings;
}

export class ClusterSide {
  /** What the side connects to; `undefined`: nothing of a cluster. */
  readonly source: EndpointSource | undefined;
  readonly #endpoints: ClusterEndpoints | undefined;
  readonly #node: ClusterNode | undefined;
  readonly #advertise: string | undefined;
  #isAnnounced = false;

  private constructor(
    endpoints: ClusterEndpoints | undefined,
    node: ClusterNode | undefined,
    advertise: string | undefined,
  ) {
    this.source = endpoints;
    this.#endpoints = endpoints;
    this.#node = node;
    this.#advertise = advertise;
  }

  /** @param name of the side's node @throws UsageError for an invalid NAME, group or key */
  static async from(name: string, options: ClusterSideOptions, log: Log): Promise<ClusterSide> {
    const { connect, advertise, cluster } = options;
    const endpoints = connect.some(isOfCluster)
      ? await ClusterEndpoints.from(name, connect, cluster, log)
      : undefined;
    const node =
      advertise === undefined ? undefined : await clusterNodeOf(`shoal-${name}-${process.pid}-edge`, cluster);
    return new ClusterSide(endpoints, node, advertise);
  }

  /** Joins. @throws what `start` of a node throws */
  async start(): Promise<void> {
    await this.#endpoints?.start();
    await asUsage(async () => this.#node?.start());
  }

  /** @param bound where the side listens @throws UsageError for what cannot be advertised */
  async announce(bound: readonly string[]): Promise<void> {
    const name = this.#advertise;
    if (name === undefined) return;
    if (bound.length === 0)
      throw new UsageError(`--…-advertise ${name} needs an endpoint that the side listens at`);
    await asUsage(() => this.#node?.announce({ [name]: bound }, NOTHING_TO_DRAIN));
    this.#isAnnounced = true;
  }

  /** Settles when the others know that nothing is to come here any more. */
  async withdraw(): Promise<void> {
    if (this.#isAnnounced) await this.#node?.drain();
  }

  async close(): Promise<void> {
    await Promise.all([this.#endpoints?.close(), this.#node?.close({ linger: 200 })]);
  }
}
