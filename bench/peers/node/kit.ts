/**
 * Socket classes for Node. Roles are written once against a kit: the package zeromq and shoal have the same class
 * names and methods. `batch` selects shoal's additional ones (`trySend`, `receiveMany`, `batches`).
 */
import type * as shoal from "shoal";
import { requirePackage } from "../../places.js";

export type SocketClasses = Pick<
  typeof shoal,
  | "Dealer"
  | "Pair"
  | "Proxy"
  | "Publisher"
  | "Pull"
  | "Push"
  | "Reply"
  | "Request"
  | "Router"
  | "Subscriber"
  | "XPublisher"
  | "XSubscriber"
>;

export interface Kit extends SocketClasses {
  /**
   * Whether to use `trySend`, `receiveMany` and `batches` instead of `await send` and `for await`. Never
   * for the package zeromq.
   */
  readonly batch: boolean;
  /** Whether it is shoal, with methods that zeromq lacks. */
  readonly shoal: boolean;
  curveKeyPair(): { publicKey: string; secretKey: string };
}

/** @param library "shoal" or "zeromq" */
export async function loadKit(library: string, api: string): Promise<Kit> {
  if (library === "shoal") {
    const { curveKeyPair, ...sockets } = await import("shoal");
    if (api === "low-latency") sockets.context.lowLatency = true;
    return { ...sockets, batch: api === "batch", shoal: true, curveKeyPair };
  }
  const zeromq = requirePackage<typeof import("zeromq")>("zeromq");
  // The same classes by name, as test/types/zeromq-compat checks.
  const sockets = zeromq as unknown as SocketClasses;
  return { ...sockets, batch: false, shoal: false, curveKeyPair: zeromq.curveKeyPair };
}
