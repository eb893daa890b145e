/** What the clone's client commands share: their options, a client, and how its errors are told. */
import { type Command, Option } from "commander";
import { CloneClient } from "../patterns/clone/index.js";
import { entryFormat } from "./clone-entry.js";
import { asUsage, describe, Failure, hasCode, UsageError } from "./failure.js";
import { bytesFromJson } from "./format.js";
import type { Log } from "./log.js";
import { checkSettings, collect, type Given, type Settings } from "./options.js";
import { Output } from "./output.js";
import { securityOptions } from "./security.js";
import { logFor, wholeNumber } from "./service.js";
import { Stop, unlessAborted } from "./signals.js";

/** ms for the map to be here, and for an update to come back. */
const TIMEOUT = 10_000;

export interface CloneSettings extends Settings {
  readonly subtree?: string;
  readonly heartbeat?: number;
}

export function addCloneClientOptions(command: Command): Command {
  return command
    .addOption(
      new Option("--connect <HOST:P>", "a server's address and first port (repeatable)").argParser(collect),
    )
    .option("--subtree </NAME/>", "only keys that begin so")
    .option("--timeout <MS>", "longest wait for the map, and for an update (default 10000)", wholeNumber(1))
    .option("--heartbeat <MS>", "between two heartbeats of the server (default 1000)", wholeNumber(1))
    .option("--json", 'lines as JSON, {"key":"text","value":{"base64":"…"}}')
    .option("--plain <USER:PASSWORD>", "PLAIN security")
    .option("--curve-server-key <KEY>", "CURVE security, as a client of this public key (Z85)")
    .option("--curve-certificate <FILE>", "CURVE keys of this end, the secret file")
    .option("-q, --quiet", "only errors on standard error")
    .option("-v, --verbose", "states and fail-overs on standard error");
}

/** A command's client and what is beside it. */
export interface CloneSession {
  readonly map: CloneClient;
  readonly json: boolean;
  readonly timeout: number;
  /** For lines that are made already. */
  readonly output: Output;
  readonly stop: Stop;
  readonly log: Log;
  /** Settles when the map is here. @throws Failure when it does not come in time */
  synced(): Promise<void>;
}

/** Runs a command with a client, which is closed however it ends. */
export async function withClone(
  name: string,
  given: Given<CloneSettings>,
  work: (session: CloneSession) => Promise<void>,
): Promise<void> {
  if ((given.connect ?? []).length === 0) throw new UsageError("expected --connect HOST:P");
  const servers = (given.connect as readonly string[]).map(endpointOf);
  const settings = checkSettings({ ...given, connect: servers } as Given) as CloneSettings;
  const { subtree, heartbeat, json = false, timeout = TIMEOUT } = settings;
  if (settings.curveCertificate !== undefined && settings.curveServerKey === undefined)
    throw new UsageError("--curve-certificate needs --curve-server-key KEY here");
  const socketOptions = await securityOptions(settings);
  const map = await asUsage(
    () =>
      new CloneClient({
        servers,
        socketOptions,
        timeout,
        keyEncoding: "latin1",
        ...(subtree === undefined ? {} : { subtree }),
        ...(heartbeat === undefined ? {} : { heartbeatInterval: heartbeat }),
      }),
  );
  const log = logFor(name, settings);
  report(map, log);
  const stop = new Stop().listen();
  const output = new Output(entryFormat(json), stop.forced, stop.request);
  const synced = (): Promise<void> => inTime(map.synced, timeout, stop);
  try {
    await work({ map, json, timeout, output, stop, log, synced });
    const printed = await output.flush();
    if (output.failure !== undefined) throw output.failure;
    if (!printed) throw new Failure("stopped before everything was printed");
  } finally {
    await map.close();
    stop.dispose();
  }
}

/** HOST:P, or an endpoint as it is. */
export function endpointOf(address: string): string {
  return address.includes("://") ? address : `tcp://${address}`;
}

/** A key or value on the command line: text, or with --json `{"base64":"…"}`, too. */
export function argumentBytes(text: string, json: boolean): Buffer {
  if (json && text.startsWith('{"base64"')) {
    try {
      const bytes = bytesFromJson(JSON.parse(text));
      if (bytes !== undefined) return bytes;
    } catch {
      // Told below.
    }
    throw new UsageError(`expected text or {"base64":"…"}; got ${text}`);
  }
  return Buffer.from(text);
}

/** What a user is told of an update that failed. */
export function updateFailure(error: unknown, timeout: number): unknown {
  if (hasCode(error, "ETIMEDOUT"))
    return new Failure(`no server put it in order within ${timeout} ms; it may still take effect`);
  if (hasCode(error, "ABORT_ERR"))
    return new Failure("stopped before it was put in order; it may still take effect");
  return error;
}

async function inTime(synced: Promise<void>, timeout: number, stop: Stop): Promise<void> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), timeout);
  const done = synced.then(() => true);
  const there = await unlessAborted(done, AbortSignal.any([late.signal, stop.requested]));
  clearTimeout(timer);
  if (there === true) return;
  throw new Failure(
    late.signal.aborted ? `no server gave its map within ${timeout} ms` : "stopped before the map was here",
  );
}

function report(map: CloneClient, log: Log): void {
  map.events
    .on("state", ({ state, silentFor }) =>
      log.detail(state === "stale" ? `stale: nothing heard for ${Math.round(silentFor)} ms` : state),
    )
    .on("fail-over", ({ from, to, reason }) => log.detail(`from ${from} to ${to}: ${reason}`))
    .on("gap", ({ expected, got }) =>
      log.detail(`update ${got} came in place of ${expected}: the map is loaded anew`),
    )
    .on("handshake:error", ({ error }) => log.warnOnce(describe(error)))
    .on("fault", ({ fault }) => log.warnOnce(`the server broke the protocol: ${fault}`));
}
