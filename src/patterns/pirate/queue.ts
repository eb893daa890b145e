/** The Pirates' queue: two ROUTERs around queue-rules.ts. */
import { InvalidArgumentError } from "../../core/errors.js";
import { BrokerDriver, type BrokerDriverOptions, type BrokerLinks } from "../kit/broker-driver.js";
import { numbers } from "../kit/options.js";
import {
  addressedFrames,
  type Dialect,
  heartbeatFrames,
  parseFromClient,
  parseFromWorker,
  replyFrames,
} from "./protocol.js";
import { type QueueEvent, QueueRules, type QueueRulesOptions, type QueueStats } from "./queue-rules.js";

const DEFAULTS: QueueRulesOptions = Object.freeze({
  heartbeatInterval: 1_000,
  liveness: 3,
  maxQueued: 1_000,
  maxDeliveries: 2,
});

/** Options of {@link PirateQueue}. */
export interface PirateQueueOptions extends BrokerDriverOptions {
  /** The one kind of worker to serve; messages of the other are invalid. Default: both. */
  readonly dialect?: Dialect;
  /** ms between two heartbeats to an idle worker; the same on both sides. Default 1,000. */
  readonly heartbeatInterval?: number;
  /** Intervals of silence after which an idle worker is lost. Default 3. */
  readonly liveness?: number;
  /** Requests that wait for a worker; past it clients are read no further. Default 1,000. */
  readonly maxQueued?: number;
  /** Workers that may be lost with one request in hand, until its client is told `worker-lost`. Default 2. */
  readonly maxDeliveries?: number;
}

/**
 * Passes clients' requests to the least recently used worker, and the replies back.
 * Serves Simple Pirates (REQ workers) and Paranoid Pirates (DEALER workers with
 * heartbeats, 6/PPP) at once: each worker's first message tells which it is.
 *
 * A request whose worker is lost goes to another one: the queue hears of an idle worker's
 * death by its heartbeats, of a busy one's by its connection's end, and that it is stopped or hangs by
 * `workerStallTimeout`.
 *
 * Clients send `"" | body…`, as REQ does.
 */
export class PirateQueue extends BrokerDriver<QueueEvent, QueueStats> {
  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(options: PirateQueueOptions = {}) {
    const { dialect, socketOptions, frontendOptions, backendOptions, gate, workerStallTimeout, ...given } =
      options;
    if (dialect !== undefined && dialect !== "simple" && dialect !== "paranoid")
      throw new InvalidArgumentError(`dialect is "simple" or "paranoid"; got ${String(dialect)}`);
    const settings = numbers("PirateQueue", DEFAULTS, given);
    super(
      options,
      settings.heartbeatInterval,
      (links, now) => new DrivenQueueRules(settings, links, now, dialect),
    );
  }
}

/** The rules with their frames. */
class DrivenQueueRules extends QueueRules {
  readonly #dialect: Dialect | undefined;

  constructor(
    options: QueueRulesOptions,
    links: BrokerLinks<QueueEvent>,
    now: number,
    dialect: Dialect | undefined,
  ) {
    super(
      options,
      {
        request: (worker, dialect, address, body) =>
          links.toWorker([worker, ...addressedFrames(dialect, address, body)]),
        heartbeat: (worker) => void links.toWorker([worker, ...heartbeatFrames()]),
        reply: (envelope, body) => links.toClient(replyFrames(envelope, body)),
        event: (event) => links.event(event),
      },
      now,
    );
    this.#dialect = dialect;
  }

  clientMessage(frames: readonly Buffer[], now: number): void {
    const command = parseFromClient(frames);
    if (command.kind === "request") this.request(command.envelope, command.body, now);
    else this.invalid("client", frames[0] as Buffer, command.reason);
  }

  workerMessage(from: Buffer, frames: readonly Buffer[], now: number): void {
    const command = parseFromWorker(frames);
    const spoken =
      command.kind === "heartbeat" ? "paranoid" : command.kind === "invalid" ? undefined : command.dialect;
    if (this.#dialect === undefined || spoken === undefined || spoken === this.#dialect)
      this.receive(from, command, now);
    else this.invalid("worker", from, "command");
  }
}
