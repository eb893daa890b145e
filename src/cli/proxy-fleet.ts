/**
 * Runs the proxies of a file and follows its changes.
 *
 *   SIGHUP, a change of the file --> read --faults--> said; what runs runs on
 *                                      +--> the changes are made, or turned back --> said
 */
import {
  type Change,
  type Configuration,
  ConfigurationError,
  configurationOf,
  FileWatch,
  Fleet,
  type FleetMember,
  optionsOf,
  problemLine,
  textOf,
} from "../proxy/config/index.js";
import { type DrainResult, SocketProxy } from "../proxy/index.js";
import { serve } from "./drain.js";
import { describe, Failure } from "./failure.js";
import type { Log } from "./log.js";
import { openLog, operate } from "./operation.js";
import { type ConfigSettings, faults } from "./proxy-config.js";
import { leftOf, report, reportEndpoints } from "./proxy-report.js";
import { logFor } from "./service.js";
import { Stop } from "./signals.js";

/** @throws Failure when the file has faults, a proxy cannot start, or something was left at the end */
export async function runConfiguration(file: string, settings: ConfigSettings): Promise<void> {
  await openLog(settings);
  const log = logFor("proxy", settings);
  const stop = new Stop().listen();
  const left: string[] = [];
  const fleet = new Fleet({
    create: (name, configuration) => new SocketProxy({ ...optionsOf(configuration), name }),
    created: ({ name, proxy }) => report(proxy, logFor(`proxy ${name}`, settings)),
    started: ({ name, proxy }) => reportEndpoints(proxy, logFor(`proxy ${name}`, settings)),
    made: (change, endpoint) => log.info(told(change, endpoint)),
    ended: (member, result) => {
      if (settings.json === true) process.stdout.write(`${accounts(member)}\n`);
      if (result === undefined || result.drained) return;
      left.push(ending(member, result));
      log.warn(ending(member, result));
    },
    empty: () => stop.request(),
  });
  const reloads = new Reloads(file, fleet, log);
  const onHangUp = (): void => reloads.ask(true);
  process.on("SIGHUP", onHangUp);
  const watch = new FileWatch(
    file,
    () => reloads.ask(false),
    (error) =>
      log.warnOnce(`changes of ${file} are not seen: ${describe(error)}; SIGHUP makes it read again`),
  );
  const service = {
    close: async (options: { readonly linger: number }): Promise<void> => {
      await fleet.close(options);
    },
  };
  try {
    await operate({ settings, log, stop, sources: () => fleet.sources() }, (ready) =>
      serve(service, stop, async () => {
        await reloads.first();
        if (settings.watch !== false) await watch.start();
        ready();
      }),
    );
  } finally {
    watch.close();
    process.off("SIGHUP", onHangUp);
  }
  if (left.length > 0) throw new Failure(left.join("; "));
}

/** Reads the file and applies it; one at a time, and once more when it was asked for meanwhile. */
class Reloads {
  readonly #file: string;
  readonly #fleet: Fleet;
  readonly #log: Log;
  /** What was read last, good or bad: to tell a change of the file from one beside it. */
  #text = "";
  /** Whether the file could not be read: said once, not at each change beside it. */
  #gone = false;
  #ready = false;
  #busy = false;
  #asked: "no" | "if-changed" | "always" = "no";

  constructor(file: string, fleet: Fleet, log: Log) {
    this.#file = file;
    this.#fleet = fleet;
    this.#log = log;
  }

  /** @throws Failure */
  async first(): Promise<void> {
    try {
      await this.#fleet.apply((await this.#read(true)) as Configuration);
    } catch (error) {
      throw this.#failure(error);
    }
    this.#ready = true;
    this.ask(false); // It may have changed meanwhile; and a SIGHUP may have come.
  }

  /** @param always whether the text is the same or not: files that it names may have changed, or variables */
  ask(always: boolean): void {
    if (this.#asked !== "always") this.#asked = always ? "always" : "if-changed";
    if (this.#ready && !this.#busy) void this.#run();
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#asked !== "no") {
      const always = this.#asked === "always";
      this.#asked = "no";
      try {
        const configuration = await this.#read(always);
        if (configuration === undefined) continue;
        const changes = await this.#fleet.apply(configuration);
        const { length } = changes.filter((change) => change.do !== "start" || change.again === undefined);
        const what = length === 0 ? "nothing changed" : `${length} ${length === 1 ? "change" : "changes"}`;
        this.#log.info(`read ${this.#file} again: ${what}`);
      } catch (error) {
        this.#log.error(`${this.#failure(error).message}; what ran before runs on`);
      }
    }
    this.#busy = false;
  }

  /** @returns `undefined` when the text is the one that was read last, and that is enough */
  async #read(always: boolean): Promise<Configuration | undefined> {
    let text: string;
    try {
      text = await textOf(this.#file);
      this.#gone = false;
    } catch (error) {
      if (this.#gone && !always) return undefined;
      this.#gone = true;
      throw error;
    }
    if (!always && text === this.#text) return undefined;
    this.#text = text;
    return configurationOf(this.#file, text);
  }

  /** Says all faults, a line each. */
  #failure(error: unknown): Failure {
    if (error instanceof ConfigurationError) {
      for (const problem of error.problems) this.#log.error(problemLine(problem));
      return new Failure(faults(this.#file, error.problems.length));
    }
    return new Failure(`${this.#file}: ${describe(error)}`);
  }
}

function told(change: Change, endpoint: string | undefined): string {
  const { proxy } = change;
  switch (change.do) {
    case "start":
      return change.again === undefined ? `${proxy} has started` : `${proxy} has started again`;
    case "stop":
      return change.again === undefined
        ? `${proxy} has ended`
        : `${proxy} has ended, to start again with other ${change.again.join(", ")}`;
    case "policy":
      return `${proxy}: the ${change.socket} has another policy`;
    case "bind":
      return `${proxy}: the ${change.socket} listens at ${endpoint ?? change.endpoint}`;
    case "unbind":
      return `${proxy}: the ${change.socket} does not listen at ${change.endpoint} any more`;
    case "connect":
      return `${proxy}: the ${change.socket} connects to ${change.endpoint}`;
    case "disconnect":
      return `${proxy}: the ${change.socket} does not connect to ${change.endpoint} any more`;
  }
}

function accounts({ name, configuration: { kind }, proxy }: FleetMember): string {
  return JSON.stringify({ name, kind, ...proxy.stats() });
}

function ending({ name }: FleetMember, result: DrainResult): string {
  return `${name}: ${leftOf(result)}`;
}
