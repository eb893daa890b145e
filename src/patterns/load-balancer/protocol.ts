/**
 * A load balancer's workers (the Guide's chapter 3, lbbroker), as frames and as typed
 * commands. Workers are REQ, so each message has an empty frame in front:
 *
 *   READY             "" | READY     (the text, in lbbroker; the byte 01 in lbbroker2 and 3)
 *   request, reply    "" | address | "" | body…
 */
import { parseFromWorker, type WorkerCommand } from "../pirate/protocol.js";

const READY_TEXT = Buffer.from("READY");

/** What comes from a worker of the load balancer. */
export type BalancedCommand = Exclude<WorkerCommand, { readonly kind: "heartbeat" }>;

/** @param frames what a worker sent, without its routing id */
export function parseFromBalanced(frames: readonly Buffer[]): BalancedCommand {
  if (frames.length === 2 && frames[0]?.length === 0 && READY_TEXT.equals(frames[1] as Buffer)) {
    return { kind: "ready", dialect: "simple" };
  }
  const command = parseFromWorker(frames);
  const simple = command.kind === "invalid" || (command.kind !== "heartbeat" && command.dialect === "simple");
  return simple ? command : { kind: "invalid", reason: "no-delimiter" };
}
