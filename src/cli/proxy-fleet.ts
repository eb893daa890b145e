/**
 * shoal proxy --config FILE and shoal proxy check FILE: the proxies of a file, which follow its changes.
 *
 *   SIGHUP, a change of the file --> read --problems--> logged; the proxies continue unchanged
 *                                      +--> changes applied, or rolled back --> logged
 */
import {
  type Change,
  type Configuration,
  ConfigurationError,
  configurationOf,
  FileWatch,
  Fleet,
  type FleetMember,
  loadConfiguration,
  optionsOf,
  problemLine,
  textOf,
} from "../proxy/config/index.js";
import type { Problem } from "../proxy/config/source.js";
import { type ProxyDrainResult, SocketProxy } from "../proxy/index.js";
import { describe, Failure } from "./failure.js";
import { Log } from "./log.js";
import { type OperationSettings, operate } from "./operation.js";
import { leftOf, report, reportEndpoints } from "./proxy-report.js";
import { type Service, Stop } from "./stop.js";
import { terminal } from "./terminal.js";

/** The options of `shoal proxy` itself. */
export interface ConfigSettings extends OperationSettings {
  readonly config?: string;
  readonly watch?: boolean;
  readonly json?: boolean;
}

/** Prints every problem of a file. @throws Failure when there is one */
export async function check(file: string, { json }: { readonly json?: boolean }): Promise<void> {
  let problems: readonly Problem[] = [];
  try {
    const { configuration } = await loadConfiguration(file);
    if (json !== true) {
      const proxies = Object.entries(configuration.proxies).map(([name, { kind }]) => `${name} (${kind})`);
      terminal().stdout.write(`${file}: ${proxies.join(", ")}\n`);
    }
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    problems = error.problems;
    if (json !== true) for (const problem of problems) terminal().stderr.write(`${problemLine(problem)}\n`);
  }
  if (json === true) terminal().stdout.write(`${JSON.stringify({ ok: problems.length === 0, problems })}\n`);
  if (problems.length > 0) throw problemsOf(file, problems.length);
}

function problemsOf(file: string, count: number): Failure {
  return new Failure(`${file} has ${count === 1 ? "a problem" : `${count} problems`}`);
}

/** @throws Failure when the file has problems, a proxy cannot start, or messages were left at the end */
export async function runConfiguration(file: string, settings: ConfigSettings): Promise<void> {
  const log = new Log("proxy");
  const stop = new Stop().listen();
  const left: string[] = [];
  const fleet = new Fleet({
    create: (name, configuration) => new SocketProxy({ ...optionsOf(configuration), name }),
    created: ({ name, proxy }) => report(proxy, new Log(`proxy ${name}`)),
    started: ({ name, proxy }) => reportEndpoints(proxy, new Log(`proxy ${name}`)),
    made: (change, endpoint) => log.info(textOfChange(change, endpoint)),
    ended: (member, result) => {
      if (settings.json === true) terminal().stdout.write(`${counters(member)}\n`);
      if (result === undefined || result.drained) return;
      left.push(ending(member, result));
      log.warn(ending(member, result));
    },
    empty: () => stop.request(),
  });
  const reloads = new Reloads(file, fleet, log);
  const { signals } = terminal();
  const onHangUp = (): void => reloads.ask(true);
  signals.on("SIGHUP", onHangUp);
  const watch = new FileWatch(
    file,
    () => reloads.ask(false),
    (error) => log.warnOnce(`cannot watch ${file}: ${describe(error)}; send SIGHUP to read it again`),
  );
  const service: Service = {
    close: async (options) => {
      await fleet.close(options);
    },
  };
  try {
    await operate({ settings, log, stop, service, sources: () => fleet.sources() }, async () => {
      await reloads.first();
      if (settings.watch !== false) await watch.start();
    });
  } finally {
    watch.close();
    signals.off("SIGHUP", onHangUp);
  }
  if (left.length > 0) throw new Failure(left.join("; "));
}

/** Reads the file and applies it: one reload at a time, and one more when it was asked for meanwhile. */
class Reloads {
  readonly #file: string;
  readonly #fleet: Fleet;
  readonly #log: Log;
  /** The text read last, valid or not: a change of another file in the folder does not change it. */
  #text = "";
  /** Whether the file could not be read: logged once, not at each change of another file in the folder. */
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
    this.ask(false); // The file may have changed meanwhile, or a SIGHUP may have come.
  }

  /** @param always even if the text is the same: referenced files or variables may have changed */
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
        this.#log.error(`${this.#failure(error).message}; the proxies continue unchanged`);
      }
    }
    this.#busy = false;
  }

  /** @returns `undefined` when the text is the one read last, unless `always` */
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

  /** Logs every problem, one per line. */
  #failure(error: unknown): Failure {
    if (error instanceof ConfigurationError) {
      for (const problem of error.problems) this.#log.error(problemLine(problem));
      return problemsOf(this.#file, error.problems.length);
    }
    return new Failure(`${this.#file}: ${describe(error)}`);
  }
}

function textOfChange(change: Change, endpoint: string | undefined): string {
  const { proxy } = change;
  switch (change.do) {
    case "start":
      return change.again === undefined ? `${proxy} has started` : `${proxy} has restarted`;
    case "stop":
      return change.again === undefined
        ? `${proxy} has ended`
        : `${proxy} has ended, to restart with a new ${change.again.join(", ")}`;
    case "policy":
      return `${proxy}: the ${change.socket} has a new policy`;
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

function counters({ name, configuration: { kind }, proxy }: FleetMember): string {
  return JSON.stringify({ name, kind, ...proxy.stats() });
}

function ending({ name }: FleetMember, result: ProxyDrainResult): string {
  return `${name}: ${leftOf(result)}`;
}
