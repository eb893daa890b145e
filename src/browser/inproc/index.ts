/**
 * `inproc://` for `shoal/browser`, between sockets of one page or worker.
 *
 * @module
 */
import { InprocNames } from "../../engine/zmtp/inproc.js";
import { PAGE_PARTS } from "../parts.js";
// Puts code shared by both entry points into the main one.
import "../index.js";

/** Enables `inproc://NAME` endpoints for the sockets of `shoal/browser`. Further calls do nothing. */
export function enableInproc(): void {
  PAGE_PARTS.inproc ??= () => new InprocNames();
}
