/**
 * Shared by the client commands of `shoal clone`: options, client, errors, and entries as lines.
 *
 *   text   KEY VALUE \n                     a deleted key: KEY \n
 *   JSON   {"key":"text","value":{"base64":"…"}} \n     deleted: "value":null
 *
 * An entry that text could not restore (a space in the key, a line feed in the value) is printed as JSON. A line
 * that begins with a brace is JSON.
 */
import type { Command } from "commander";
import { defined } from "../core/arguments.js";
import { OPTIONS as CLIENT, SET_OPTIONS } from "../patterns/clone/client-options.js";
import { CloneClient, type PatternEndpoints } from "../patterns/clone/index.js";
import { keyFault, MAX_KEY } from "../patterns/clone/protocol.js";
import { withEndpoints } from "./endpoints.js";
import { asUsage, describe, FormatError, UsageError, waitFailed } from "./failure.js";
import { bytesFromJson, bytesToJson, type Format, parseJson } from "./format.js";
import { Log } from "./log.js";
import {
  addClusterOptions,
  checkSettings,
  type Given,
  isOfCluster,
  numberFlag,
  repeatable,
  type Settings,
} from "./options.js";
import { LINES, type Output, printing } from "./output.js";
import { addSecurityOptions, clientSecurityOptions } from "./security.js";
import type { Stop } from "./terminal.js";

export interface CloneSettings extends Settings {
  readonly subtree?: string;
  readonly heartbeat?: number;
}

export function addCloneClientOptions(command: Command): Command {
  command
    .addOption(
      repeatable("--connect <HOST:P>", "address and first port of a server, or cluster:NAME (repeatable)"),
    )
    .option("--subtree </NAME/>", "only keys that begin with /NAME/")
    .addOption(
      numberFlag("--timeout <MS>", "timeout of the map, and of an update", { ...CLIENT.timeout, min: 1 }),
    )
    .addOption(
      numberFlag("--heartbeat <MS>", "interval of the server's heartbeats", CLIENT.heartbeatInterval),
    )
    .option("--json", 'JSON lines: {"key":"text","value":{"base64":"…"}}');
  return addClusterOptions(addSecurityOptions(command, "connect"));
}

export interface CloneSession {
  readonly map: CloneClient;
  readonly json: boolean;
  readonly timeout: number;
  readonly output: Output;
  readonly stop: Stop;
  readonly log: Log;
  /** Settles when the map is complete. @throws Failure at the timeout */
  synced(): Promise<void>;
}

export async function withClone(
  name: string,
  given: Given<CloneSettings>,
  work: (session: CloneSession) => Promise<void>,
): Promise<void> {
  if ((given.connect ?? []).length === 0) throw new UsageError("expected --connect HOST:P");
  const servers = (given.connect as readonly string[]).map(endpointOf);
  const settings = checkSettings({ ...given, connect: servers } as Given) as CloneSettings;
  const log = new Log(name);
  await withEndpoints(name, servers, settings, log, (found) => runClone(found, settings, log, work));
}

async function runClone(
  servers: PatternEndpoints,
  settings: CloneSettings,
  log: Log,
  work: (session: CloneSession) => Promise<void>,
): Promise<void> {
  const { subtree, heartbeat, json = false, timeout = CLIENT.timeout.default } = settings;
  const socketOptions = await clientSecurityOptions(settings);
  const map = await asUsage(
    () =>
      new CloneClient(servers, {
        socketOptions,
        timeout,
        keyEncoding: "latin1",
        ...defined({ subtree, heartbeatInterval: heartbeat }),
      }),
  );
  report(map, log);
  try {
    await printing(entryFormat(json), (output, stop) => {
      const synced = (): Promise<void> => inTime(map, timeout, stop);
      return work({ map, json, timeout, output, stop, log, synced });
    });
  } finally {
    await map.close();
  }
}

export function endpointOf(address: string): string {
  return address.includes("://") || isOfCluster(address) ? address : `tcp://${address}`;
}

/** A key or value on the command line: text or, with --json, `{"base64":"…"}`. */
export function argumentBytes(text: string, json: boolean): Buffer {
  if (json && text.startsWith('{"base64"')) {
    try {
      const bytes = bytesFromJson(JSON.parse(text));
      if (bytes !== undefined) return bytes;
    } catch {
      // Reported below.
    }
    throw new UsageError(`expected text or {"base64":"…"}; got ${text}`);
  }
  return Buffer.from(text);
}

export function updateFailure(error: unknown, timeout: number): unknown {
  const late = `no server acknowledged the update within ${timeout} ms; it may still take effect`;
  return waitFailed(error, late, "stopped before the update was acknowledged; it may still take effect");
}

async function inTime(map: CloneClient, timeout: number, stop: Stop): Promise<void> {
  try {
    await map.ready({ timeout, signal: stop.requested });
  } catch (error) {
    const late = `no server sent its map within ${timeout} ms`;
    throw waitFailed(error, late, "stopped before the map was received");
  }
}

function report(map: CloneClient, log: Log): void {
  map.events
    .on("state:changed", ({ state, silentFor }) =>
      log.debug(
        state === "stale" ? `stale: the server has been silent for ${Math.round(silentFor)} ms` : state,
      ),
    )
    .on("server:failed-over", ({ from, to, reason }) =>
      log.debug(`failing over from ${from} to ${to}: ${reason}`),
    )
    .on("update:missed", ({ expected, got }) =>
      log.debug(`received update ${got} instead of ${expected}: loading the map again`),
    )
    .on("handshake:failed", ({ error }) => log.warnOnce(describe(error)))
    .on("endpoint:refused", ({ error }) => log.warnOnce(describe(error)))
    .on("message:invalid", ({ reason }) => log.warnOnce(`the server violated the protocol: ${reason}`));
}

export interface EntryLine {
  readonly key: Buffer;
  /** `undefined`: deleted. */
  readonly value: Buffer | undefined;
  /** Only in JSON. */
  readonly more?: Readonly<Record<string, unknown>>;
}

const SPACE = 0x20;
const LINE_FEED = 0x0a;
const BRACE = 0x7b;

export function entryLine(entry: EntryLine, json: boolean): Buffer {
  const { key, value, more } = entry;
  if (json || !isLine(key, value)) {
    const object = { key: bytesToJson(key), value: value === undefined ? null : bytesToJson(value), ...more };
    return Buffer.from(`${JSON.stringify(object)}\n`);
  }
  if (value === undefined) return Buffer.concat([key, Buffer.of(LINE_FEED)]);
  return Buffer.concat([key, Buffer.of(SPACE), value, Buffer.of(LINE_FEED)]);
}

function isLine(key: Buffer, value: Buffer | undefined): boolean {
  if (key[0] === BRACE || key.includes(SPACE) || key.includes(LINE_FEED)) return false;
  return value?.includes(LINE_FEED) !== true;
}

/** Parses lines to load: key, value and optionally the time to live in ms. Prints formatted lines. */
export function entryFormat(json: boolean): Format {
  return {
    ...LINES,
    parse: (bytes) => (json || bytes[0] === BRACE ? parseEntry(bytes) : parseText(bytes)),
  };
}

function parseText(bytes: Buffer): Buffer[] {
  const space = bytes.indexOf(SPACE);
  if (space < 0) throw new FormatError("expected a key, a space and a value");
  return checked(bytes.subarray(0, space), bytes.subarray(space + 1));
}

function parseEntry(bytes: Buffer): Buffer[] {
  const object = parseJson(bytes) as { key?: unknown; value?: unknown; ttl?: unknown } | null;
  const key = bytesFromJson(object?.key);
  const value = bytesFromJson(object?.value);
  if (key === undefined || value === undefined)
    throw new FormatError('expected {"key":…,"value":…}, each a string or {"base64":"…"}');
  const ttl = object?.ttl;
  if (ttl === undefined) return checked(key, value);
  const { accepts, expected } = SET_OPTIONS.ttl;
  if (!accepts(ttl)) throw new FormatError(`ttl: expected ${expected}, in ms`);
  return [...checked(key, value), Buffer.from(String(ttl))];
}

function checked(key: Buffer, value: Buffer): Buffer[] {
  const fault = keyFault(key);
  if (fault === "reserved-key") throw new FormatError(`${String(key)} is a command, not a key`);
  if (fault !== undefined) throw new FormatError(`a key has 1 to ${MAX_KEY} bytes; got ${key.length}`);
  if (value.length === 0) throw new FormatError("a value has at least one byte");
  return [key, value];
}
