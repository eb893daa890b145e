/**
 * One run of a socket command.
 *
 *   options -> socket -> endpoints -> work -> linger -> exit code
 *                                      |  a signal, or a lost reader of standard output,
 *                                      +-> ends the work early (stop.ts)
 */
import { setImmediate } from "node:timers/promises";
import type { CloseResult, Socket } from "../index.js";
import { openEndpoints, type Peers, watchPeers, withEndpoints } from "./endpoints.js";
import { asUsage, Failure, InputError } from "./failure.js";
import { formatFor } from "./format.js";
import { Input } from "./input.js";
import { Log } from "./log.js";
import { checkSettings, type Given, type Settings } from "./options.js";
import { type Output, printing } from "./output.js";
import { type SecurityOptions, securityOptions } from "./security.js";
import type { AnswerSettings } from "./service.js";
import { GRACE, type Stop, unlessAborted } from "./terminal.js";

export interface SocketSettings extends Settings, AnswerSettings {
  /** Topic prefixes; `false` with --no-subscribe. */
  readonly subscribe?: readonly string[] | boolean;
  readonly routingId?: string;
}

export interface Session<S extends Socket> {
  readonly socket: S;
  readonly settings: SocketSettings;
  readonly log: Log;
  readonly stop: Stop;
  readonly peers: Peers;
  readonly input: Input;
  readonly output: Output;
}

/**
 * How the work ended, which decides the linger. `complete` waits for everything sent, `enough` (--count) at most
 * GRACE ms, `received` not at all: a SUB would wait to repeat its subscriptions to a lost publisher.
 */
export type Ending = "complete" | "enough" | "received";

export interface Work<S extends Socket> {
  readonly name: string;
  /** The first frame is a routing id. */
  readonly routed: boolean;
  open(security: SecurityOptions, settings: SocketSettings): S;
  run(session: Session<S>): Promise<Ending>;
}

export async function runSocket<S extends Socket>(
  given: Given<SocketSettings>,
  work: Work<S>,
): Promise<void> {
  const settings = checkSettings<SocketSettings>(given);
  const log = new Log(work.name);
  const security = await securityOptions(settings, settings);
  const format = formatFor({ ...settings, routed: work.routed });
  await withEndpoints(work.name, settings.connect, settings, log, async (connect) => {
    const socket = await asUsage(() => work.open(security, settings));
    try {
      await printing(format, async (output, stop) => {
        const input = new Input(format, settings.json === true, stop.requested);
        const peers = watchPeers(socket, settings, log);
        await openEndpoints(socket, settings, connect, log);
        const session = { socket, settings, log, stop, peers, input, output };
        let ending: Ending = "complete";
        let fault: unknown;
        try {
          ending = await Promise.race([work.run(session), peers.refused]);
        } catch (error) {
          if (!(error instanceof InputError)) throw error;
          fault = error; // The input before it is delivered first.
        }
        await deliver(session, ending);
        if (fault !== undefined) throw fault;
      });
    } finally {
      void socket.close({ linger: 0 });
    }
  });
}

/** Closes the socket after accepted messages have left. */
async function deliver(session: Session<Socket>, ending: Ending): Promise<void> {
  const { socket, settings, stop, peers } = session;
  if (ending === "received") {
    await socket.close({ linger: 0 });
    return;
  }
  if (stop.forced.aborted) {
    await setImmediate(); // What was accepted in this turn is written in the next.
    if (isDelivered(await socket.close({ linger: 0 }))) return;
    throw new Failure("stopped before every message was delivered");
  }
  const hurried = ending === "enough" || stop.requested.aborted;
  const limit = settings.timeout ?? -1;
  const linger = hurried ? (limit < 0 ? GRACE : Math.min(limit, GRACE)) : limit;
  const closing = unlessAborted(socket.close({ linger }), stop.forced);
  const result = await Promise.race([closing, peers.refused]);
  if (isDelivered(result)) return;
  throw new Failure(
    result === undefined
      ? "stopped before every message was delivered"
      : "not every message was delivered: no peer accepted them in time",
  );
}

function isDelivered(result: CloseResult | undefined): boolean {
  return result !== undefined && result.unknown === 0 && result.discarded === 0;
}
