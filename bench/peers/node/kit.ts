/**
 * The socket classes of a contender in Node. Roles are written once against a kit: the package zeromq and shoal have
 * the same class names and methods, and where shoal has more (`trySend`, `sendMany`, `receiveMany`, `batches`), `batch` says to use it.
 */
import type * as shoal from "shoal";

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
  /** True: `trySend`, `sendMany`, `receiveMany` and `batches`; false: `await send` and `for await`. Never true for the package zeromq. */
  readonly batch: boolean;
  /** It is shoal: methods that zeromq has not may be used. */
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
  const zeromq = await import("zeromq");
  // The same classes by name; test/types/zeromq-compat holds shoal to that.
  const sockets = zeromq as unknown as SocketClasses;
  return { ...sockets, batch: false, shoal: false, curveKeyPair: zeromq.curveKeyPair };
}
