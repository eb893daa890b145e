/** `--binary-star`: a server as one of a pair, of which one serves at any time. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Command, Option } from "commander";
import { BinaryStar, BinaryStarGate, type StarEvent, type StarRole } from "../patterns/binary-star/index.js";
import { asUsage, UsageError } from "./failure.js";
import type { Log } from "./log.js";
import type { Plain } from "./options.js";
import type { SecurityOptions } from "./security.js";
import { wholeNumber } from "./service.js";

/** ms between two states, as the Guide has it. */
const HEARTBEAT = 1_000;

/** ms between two looks at the peer's state. */
const LOOK = 20;

/** What the command line says of a pair. */
export interface PairSettings {
  readonly binaryStar?: StarRole;
  readonly peer?: string;
  readonly state?: string;
  readonly peerHeartbeat?: number;
}

export function addPairOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--binary-star <ROLE>", "serve as one of a pair").choices(["primary", "backup"] as const),
    )
    .option("--peer <EP>", "where the other server of the pair tells its state")
    .option("--state <EP>", "where this one tells its own (default: the peer's port, on every address)")
    .option(
      "--peer-heartbeat <MS>",
      "between two states, the same on both servers (default 1000)",
      wholeNumber(1),
    );
}

/** This server's half of a pair. */
export class Pair {
  readonly star: BinaryStar;
  /** For the server's option of that name. */
  readonly gate: BinaryStarGate;

  readonly #heartbeat: number;

  private constructor(star: BinaryStar, heartbeat: number) {
    this.star = star;
    this.#heartbeat = heartbeat;
    this.gate = new BinaryStarGate(star);
  }

  /**
   * @param security of the server: the two tell their states under the same
   * @returns `undefined` for a server that is alone
   * @throws UsageError
   */
  static async from(
    settings: PairSettings,
    security: SecurityOptions,
    plain: Plain | undefined,
    log: Log,
  ): Promise<Pair | undefined> {
    const { binaryStar: role, peer, state, peerHeartbeat } = settings;
    const heartbeatInterval = peerHeartbeat ?? HEARTBEAT;
    if (role === undefined) {
      if (peer === undefined && state === undefined && peerHeartbeat === undefined) return undefined;
      throw new UsageError("--peer, --state and --peer-heartbeat need --binary-star primary or backup");
    }
    if (peer === undefined)
      throw new UsageError("--binary-star needs --peer EP, where the other one tells its state");
    const star = await asUsage(
      () =>
        new BinaryStar({
          role,
          bind: state ?? sameByPort(peer),
          connect: peer,
          heartbeatInterval,
          publisherOptions: security,
          subscriberOptions: clientOf(security, plain),
        }),
    );
    report(star, role, log);
    return new Pair(star, heartbeatInterval);
  }

  /** Once the server listens. */
  async start(log: Log): Promise<void> {
    await asUsage(() => this.star.start());
    log.info(`telling its state at ${this.star.endpoint}`);
  }

  /** The server is to stop: it finishes what it has in hand. */
  drain(): void {
    this.gate.drain();
  }

  /** Once the server has ended what it had in hand: the other one serves from now on. */
  async close(): Promise<void> {
    const end = performance.now() + 2 * this.#heartbeat;
    while (this.#peerIsAboutToStandBy() && performance.now() < end) await sleep(LOOK);
    try {
      this.star.handOver();
    } catch {
      // There is nothing to hand over, or nobody to take it.
    }
    this.gate.close();
    await this.star.close();
  }

  /** This one serves since a moment ago, and has not heard yet that the other one knows it. */
  #peerIsAboutToStandBy(): boolean {
    const { peer } = this.star.stats();
    return this.star.state === "active" && peer !== undefined && peer !== "passive";
  }
}

/** On two machines, both tell their states at the same port. */
function sameByPort(peer: string): string {
  const port = /^tcp:\/\/.+:(\d+)$/.exec(peer)?.[1];
  if (port === undefined) throw new UsageError(`--binary-star with --peer ${peer} needs --state EP`);
  return `tcp://*:${port}`;
}

/** What a client of a server with these options needs; its certificate is the server's own. */
export function clientOf(server: SecurityOptions, plain: Plain | undefined): SecurityOptions {
  if (plain !== undefined) return { plainUsername: plain.username, plainPassword: plain.password };
  const { curveServer, curvePublicKey, curveSecretKey } = server;
  if (curveServer !== true || curvePublicKey === undefined || curveSecretKey === undefined) return {};
  return { curveServerKey: curvePublicKey, curvePublicKey, curveSecretKey };
}

const CAUSES: Readonly<Record<(StarEvent & { type: "active" })["cause"], string>> = {
  peer: "as its peer's state has it",
  "fail-over": "its peer is silent, and clients ask",
  "hand-over": "its peer takes over",
  resolved: "as told",
  stalled: "it was held up",
};

function report(star: BinaryStar, role: StarRole, log: Log): void {
  star.events
    .on("active", ({ cause }) =>
      log.info(cause === "stalled" ? "serving on: its peer has not taken over" : `serving: ${CAUSES[cause]}`),
    )
    .on("passive", ({ cause }) => log.info(`standing by: ${CAUSES[cause]}`))
    .on("waiting", ({ cause }) => log.info(`waiting for its peer: ${CAUSES[cause]}`))
    .on("fatal", ({ reason }) =>
      log.error(
        reason === "dual-active"
          ? "both servers serve: neither answers until the wrong one is stopped and started again"
          : "both servers stand by: neither answers until one is stopped and started again",
      ),
    )
    .on("same-role", () => log.warnOnce(`the peer is the ${role}, too: one of them has to be the other`))
    .on("invalid", ({ frames }) => log.warnOnce(`what came from the peer is no state (${frames} frames)`));
}
