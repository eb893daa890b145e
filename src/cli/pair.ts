/** `--binary-star`: one of two servers, of which one serves at a time. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Command, Option } from "commander";
import {
  BinaryStar,
  BinaryStarGate,
  type BinaryStarReason,
  type BinaryStarRole,
  type BinaryStarStateName,
} from "../patterns/binary-star/index.js";
import { OPTIONS as STAR } from "../patterns/binary-star/star.js";
import { asUsage, describe, UsageError } from "./failure.js";
import type { Log } from "./log.js";
import { numberFlag } from "./options.js";
import { clientOf, type SecurityOptions, type SecuritySettings } from "./security.js";

/** ms between checks of the peer's state. */
const CHECK_INTERVAL = 20;

export interface PairSettings extends SecuritySettings {
  readonly binaryStar?: BinaryStarRole;
  readonly peer?: string;
  readonly state?: string;
  readonly peerHeartbeat?: number;
}

export function roleOption(): Option {
  return new Option("--binary-star <ROLE>", "serve as one of a pair").choices(["primary", "backup"]);
}

export function addPairOptions(command: Command): Command {
  return command
    .addOption(roleOption())
    .option("--peer <EP>", "endpoint where the other server of the pair publishes its state")
    .option(
      "--state <EP>",
      "endpoint to publish this server's state at (default: the peer's port, all addresses)",
    )
    .addOption(
      numberFlag(
        "--peer-heartbeat <MS>",
        "interval of the states, the same on both servers",
        STAR.heartbeatInterval,
      ),
    );
}

export class Pair {
  readonly star: BinaryStar;
  /** The server's option `gate`. */
  readonly gate: BinaryStarGate;

  readonly #endpoint: string;
  readonly #heartbeat: number;

  private constructor(star: BinaryStar, endpoint: string, heartbeat: number) {
    this.star = star;
    this.#endpoint = endpoint;
    this.#heartbeat = heartbeat;
    this.gate = new BinaryStarGate(star);
  }

  /** @param security of the server and its state messages @returns `undefined` without a peer @throws UsageError */
  static async from(settings: PairSettings, security: SecurityOptions, log: Log): Promise<Pair | undefined> {
    const { binaryStar: role, peer, state, peerHeartbeat } = settings;
    const heartbeatInterval = peerHeartbeat ?? STAR.heartbeatInterval.default;
    if (role === undefined) {
      if (peer === undefined && state === undefined && peerHeartbeat === undefined) return undefined;
      throw new UsageError("--peer, --state and --peer-heartbeat need --binary-star primary or backup");
    }
    if (peer === undefined)
      throw new UsageError("--binary-star needs --peer EP, where the other server publishes its state");
    const endpoint = state ?? sameByPort(peer);
    const star = await asUsage(
      () =>
        new BinaryStar({
          role,
          peer,
          heartbeatInterval,
          publisherOptions: security,
          subscriberOptions: clientOf(security, settings),
        }),
    );
    report(star, role, log);
    return new Pair(star, endpoint, heartbeatInterval);
  }

  /** Call it when the server listens. */
  async start(log: Log): Promise<void> {
    const endpoint = await asUsage(() => this.star.bind(this.#endpoint));
    log.info(`publishing its state at ${endpoint}`);
  }

  /** Call it when nothing is in flight: the other server takes over. */
  async close(): Promise<void> {
    await handOver(this.star, 2 * this.#heartbeat);
    await this.gate.close();
    await this.star.close();
  }
}

/**
 * Hands over, so that the peer need not wait for silence.
 *
 * @param timeout ms to wait for a live peer that is not passive yet
 * @param isReplicated whether the peer has everything
 */
export async function handOver(
  star: BinaryStar,
  timeout: number,
  isReplicated = (): boolean => true,
): Promise<void> {
  const isSoonReady = (): boolean => {
    const { peer } = star.stats();
    return star.state === "active" && peer !== undefined && (peer !== "passive" || !isReplicated());
  };
  const end = performance.now() + timeout;
  while (isSoonReady() && performance.now() < end) await sleep(CHECK_INTERVAL);
  try {
    if (isReplicated()) star.handOver();
  } catch {
    // This server does not serve, or the peer is absent.
  }
}

/** Servers on two machines use the same port. */
function sameByPort(peer: string): string {
  const port = /^tcp:\/\/.+:(\d+)$/.exec(peer)?.[1];
  if (port === undefined) throw new UsageError(`--binary-star with --peer ${peer} needs --state EP`);
  return `tcp://*:${port}`;
}

const REASONS: Readonly<Record<BinaryStarReason, string>> = {
  peer: "its peer's state decides it",
  "fail-over": "its peer is silent, and clients send requests",
  "hand-over": "its peer takes over",
  resolved: "an operator decided it",
  stalled: "this process was stalled",
};

function report(star: BinaryStar, role: BinaryStarRole, log: Log): void {
  star.events
    .on("state:changed", (event) => {
      if (event.state === "fenced")
        log.error(
          event.reason === "dual-active"
            ? "both servers were serving: neither answers until the wrong one is restarted"
            : "both servers stand by: neither answers until one is restarted",
        );
      else if (event.state === "active" && event.reason === "stalled")
        log.info("still serving: its peer has not taken over");
      else log.info(`${STATES[event.state]}: ${REASONS[event.reason]}`);
    })
    .on("endpoint:refused", ({ error }) => log.warnOnce(describe(error)))
    .on("peer:misconfigured", () =>
      log.warnOnce(`the peer is also the ${role}: give one of them the other role`),
    )
    .on("peer:invalid", ({ frames }) =>
      log.warnOnce(`received a message from the peer that is not a state (${frames} frames)`),
    );
}

const STATES: Readonly<Record<Exclude<BinaryStarStateName, "fenced">, string>> = {
  active: "serving",
  passive: "standing by",
  primary: "waiting for its peer",
  backup: "waiting for its peer",
  doubting: "waiting for its peer",
};
