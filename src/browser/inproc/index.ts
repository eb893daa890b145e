/**
 * `inproc://` for `shoal/browser`: sockets of one page, or of all pages and workers of an origin that share a channel.
 *
 * @module
 */
import { checkKeys, describe } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { InprocPeers } from "../../engine/zmtp/inproc.js";
import { InprocNames } from "../../engine/zmtp/inproc-names.js";
import { Listening } from "../../engine/zmtp/listening.js";
import { ADDITIONS } from "../additions.js";
// In one file, what both entry points need is in the first.
import "../index.js";
import { releaseName, setChannel, sharedChannel } from "./channel-wire.js";

/** Names of all that share the channel. */
class SharedNames extends InprocNames {
  override unbind(name: string): void {
    super.unbind(name);
    releaseName(name);
  }
}

/** Options of {@link enableInproc}. */
export interface InprocOptions {
  /**
   * A name of 1 to 255 characters: the names that sockets of the process-wide context bind are those of all pages and workers
   * of this origin that have enabled inproc with the same channel. Without it they are those of this page or worker alone.
   */
  readonly channel?: string;
}

/**
 * Gives the sockets of `shoal/browser` endpoints `inproc://NAME`. A second call with the same channel does nothing.
 *
 * @throws InvalidArgumentError `EINVAL` for an unknown option, a channel that is not such a name, or where inproc was enabled
 *   with another channel, or without one
 * @throws NotSupportedError `NOT_SUPPORTED` for a channel where the platform has no BroadcastChannel or no Web Locks: a page
 *   that is not served by https or from localhost has none
 */
export function enableInproc(options: InprocOptions = {}): void {
  checkKeys("enableInproc", options, ["channel"]);
  const { channel } = options;
  if (channel !== undefined && (typeof channel !== "string" || channel === "" || channel.length > 255))
    throw new InvalidArgumentError(`channel is a string of 1 to 255 characters; got ${describe(channel)}`);
  if (ADDITIONS.inproc !== undefined) {
    if (channel === sharedChannel()) return;
    throw new InvalidArgumentError("inproc is enabled already, with another channel");
  }
  setChannel(channel);
  ADDITIONS.inproc = {
    names: (shared) => (shared && channel !== undefined ? new SharedNames(true) : new InprocNames()),
    peers: (state, peers) => new InprocPeers(state, peers),
    listening: (parts) => new Listening(parts),
  };
}
