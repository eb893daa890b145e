/**
 * `inproc://` for `shoal/browser`: sockets of one page, or of an origin's pages and workers that share a channel.
 *
 * @module
 */
import { checkKeys, describe } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { InprocPeers } from "../../engine/zmtp/inproc.js";
import { InprocNames } from "../../engine/zmtp/inproc-names.js";
import { Listening } from "../../engine/zmtp/listening.js";
import { PAGE_PARTS } from "../parts.js";
// Puts code shared by both entry points into the main one.
import "../index.js";
import { releaseName, setChannel, sharedChannel } from "../../engine/zmtp/threads/node-threads.browser.js";

class SharedNames extends InprocNames {
  override unbind(name: string): void {
    super.unbind(name);
    releaseName(name);
  }
}

export interface InprocOptions {
  /**
   * 1 to 255 characters. Sockets of the process-wide context then share inproc names with all pages and workers of this
   * origin on the channel. Default: names of this page or worker only.
   */
  readonly channel?: string;
}

/**
 * Enables `inproc://NAME` endpoints for the sockets of `shoal/browser`. Another call with the same channel does
 * nothing.
 *
 * @throws InvalidArgumentError `EINVAL` for an invalid option, or if inproc is enabled with another channel or without
 *   one
 * @throws NotSupportedError `NOT_SUPPORTED` for a channel if the platform lacks BroadcastChannel or Web Locks, as pages
 *   other than those from https or localhost do
 */
export function enableInproc(options: InprocOptions = {}): void {
  checkKeys("enableInproc", options, ["channel"]);
  const { channel } = options;
  if (channel !== undefined && (typeof channel !== "string" || channel === "" || channel.length > 255))
    throw new InvalidArgumentError(`channel is a string of 1 to 255 characters; got ${describe(channel)}`);
  if (PAGE_PARTS.inproc !== undefined) {
    if (channel === sharedChannel()) return;
    throw new InvalidArgumentError("inproc is enabled already, with another channel");
  }
  setChannel(channel);
  PAGE_PARTS.inproc = {
    names: (shared) => (shared && channel !== undefined ? new SharedNames(true) : new InprocNames()),
    peers: (state, names, peers) => new InprocPeers(state, names, peers),
  };
  PAGE_PARTS.listening = (parts) => new Listening(parts);
}
