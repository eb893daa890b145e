/** shoal proxy --config FILE and shoal proxy check FILE. */

import { textOf } from "../config/file.js";
import { type Change, Fleet } from "../proxy/config/fleet.js";
import { configurationOf, loadConfiguration } from "../proxy/config/load.js";
import { optionsOf } from "../proxy/config/model.js";
import { SocketProxy } from "../proxy/index.js";
import { Failure } from "./failure.js";
import { Log } from "./log.js";
import { checkFile, failureOf, type OperationSettings, operate } from "./operation.js";
import { leftOf, report, reportEndpoints } from "./proxy-report.js";
import { Stop, terminal } from "./terminal.js";

export interface ConfigSettings extends OperationSettings {
  readonly config?: string;
  readonly json?: boolean;
}

export function check(file: string, settings: { readonly json?: boolean }): Promise<void> {
  return checkFile(file, settings, async () => {
    const { proxies } = await loadConfiguration(file);
    return Object.entries(proxies)
      .map(([name, { kind }]) => `${name} (${kind})`)
      .join(", ");
  });
}

/** @throws Failure for problems of the file, a proxy that cannot start, or remaining messages */
export async function runConfiguration(file: string, settings: ConfigSettings): Promise<void> {
  const log = new Log("proxy");
  const failed = (error: unknown): never => {
    throw failureOf(file, error, log);
  };
  // Before signals are handled: the open of a pipe without a writer holds a process that would end by itself.
  const text = await textOf(file).catch(failed);
  const stop = new Stop().listen();
  const left: string[] = [];
  const fleet = new Fleet({
    create: (name, configuration) => new SocketProxy({ ...optionsOf(configuration), name }),
    created: ({ name, proxy }) => report(proxy, new Log(`proxy ${name}`)),
    started: ({ name, proxy }) => reportEndpoints(proxy, new Log(`proxy ${name}`)),
    made: (change, endpoint) => log.info(textOfChange(change, endpoint)),
    ended: (member, result) => {
      const { name, configuration, proxy } = member;
      const counters = { name, kind: configuration.kind, ...proxy.stats() };
      if (settings.json === true) terminal().stdout.write(`${JSON.stringify(counters)}\n`);
      if (result === undefined || result.drained) return;
      const ending = `${name}: ${leftOf(result)}`;
      left.push(ending);
      log.warn(ending);
    },
    empty: () => stop.request(),
  });
  const apply = async (text: string): Promise<string> => {
    const changes = await fleet.apply(await configurationOf(file, text));
    const { length } = changes.filter((change) => change.do !== "start" || change.again === undefined);
    return length === 0 ? "" : `${length} ${length === 1 ? "change" : "changes"}`;
  };
  const operated = {
    settings,
    log,
    stop,
    close: (linger: number) => fleet.close({ linger }),
    sources: () => fleet.sources(),
    reload: {
      what: file,
      apply: async () => apply(await textOf(file, true)),
      unchanged: "the proxies continue",
    },
  };
  await operate(operated, async () => void (await apply(text).catch(failed)));
  if (left.length > 0) throw new Failure(left.join("; "));
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
    case "tls":
      return `${proxy}: the ${change.socket} has new certificates`;
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
