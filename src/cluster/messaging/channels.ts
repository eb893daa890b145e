/**
 * Channels of `send` and `query`: messages on other channels are dropped before any hook. The number 5 and the
 * name "5" are different channels.
 */
import { invalidArgument } from "../../core/arguments.js";
import { MAX_SHORT_NAME } from "../bounds.js";
import { LONE_SURROGATE } from "./topics.js";

/** A number from 0 to 255, or a name of 1 to 64 bytes. */
export type ClusterChannel = number | string;

export const MAX_CHANNEL = 255;

/** @throws InvalidArgumentError `EINVAL` */
export function checkChannel(channel: unknown): asserts channel is ClusterChannel {
  if (typeof channel === "number" && Number.isInteger(channel) && channel >= 0 && channel <= MAX_CHANNEL)
    return;
  if (typeof channel === "string" && isChannelName(channel)) return;
  throw invalidArgument(
    `a channel must be a number from 0 to ${MAX_CHANNEL}, or a name of 1 to ${MAX_SHORT_NAME} bytes`,
    channel,
  );
}

/** @throws InvalidArgumentError `EINVAL` for an invalid channel, and for an empty list */
export function channelSet(
  channels: readonly ClusterChannel[] | undefined,
): ReadonlySet<ClusterChannel> | undefined {
  if (channels === undefined) return undefined;
  if (!Array.isArray(channels) || channels.length === 0)
    throw invalidArgument("channels must be an array with at least one", channels);
  for (const channel of channels) checkChannel(channel);
  return new Set(channels);
}

/** Whether a text is valid as a channel's name: 1 to 64 bytes without lone surrogates. */
export function isChannelName(name: string): boolean {
  return (
    name.length > 0 &&
    name.length <= MAX_SHORT_NAME &&
    Buffer.byteLength(name) <= MAX_SHORT_NAME &&
    !LONE_SURROGATE.test(name)
  );
}

/**
 * Joined channels of `send` and `query`.
 *
 * @example
 * ```ts
 * import { ClusterNode } from "shoal/cluster";
 *
 * const node = new ClusterNode({ cluster: `channels-${process.pid}` });
 * await node.start();
 * node.channels.join("orders"); // In addition to 0, 1 and 2.
 * console.log(node.channels.has("orders")); // true
 * await node.close();
 * ```
 */
export class ClusterChannels {
  readonly #joined = new Set<ClusterChannel>();

  /** @internal */
  constructor(channels: readonly ClusterChannel[] = [0, 1, 2]) {
    this.join(...channels);
  }

  /** Joined channels, numbers first. */
  get joined(): ClusterChannel[] {
    const joined = [...this.#joined];
    return [
      ...joined.filter((channel) => typeof channel === "number").sort((one, other) => one - other),
      ...joined.filter((channel) => typeof channel === "string").sort(),
    ];
  }

  has(channel: ClusterChannel): boolean {
    return this.#joined.has(channel);
  }

  /**
   * Joins channels; joined ones are ignored.
   *
   * @throws InvalidArgumentError `EINVAL` for an invalid channel; nothing has changed then
   */
  join(...channels: ClusterChannel[]): void {
    for (const channel of channels) checkChannel(channel);
    for (const channel of channels) this.#joined.add(channel);
  }

  /**
   * Leaves channels; others are ignored. Later messages on them are dropped.
   *
   * @throws InvalidArgumentError `EINVAL` for an invalid channel; nothing has changed then
   */
  leave(...channels: ClusterChannel[]): void {
    for (const channel of channels) checkChannel(channel);
    for (const channel of channels) this.#joined.delete(channel);
  }
}
