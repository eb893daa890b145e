/**
 * `inproc://` for `shoal/browser`, between sockets of one page or worker.
 *
 * @module
 */
import { InprocPeers } from "../../engine/zmtp/inproc.js";
import { InprocNames } from "../../engine/zmtp/inproc-names.js";
import { PAGE_PARTS } from "../parts.js";
// Puts code shared by both entry points into the main one.
import "../index.js";

/** Enables `inproc://NAME` endpoints for the sockets of `shoal/browser`. Further calls do nothing. */
export function enableInproc(): void {
  if (PAGE_PARTS.inproc !== undefined) return;
  PAGE_PARTS.inproc = {
    names: () => new InprocNames(),
    peers: (state, names, peers) => new InprocPeers(state, names, peers),
  };
}
