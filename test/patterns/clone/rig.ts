/** What the tests of Clone's drivers have: servers, clients and folders that are gone after each test. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type CloneChange,
  CloneClient,
  type CloneClientOptions,
  CloneServer,
  type CloneServerOptions,
} from "../../../src/patterns/index.js";
import { within } from "../../contract/support/wait.js";

export const HEARTBEAT = 100;
/** For tests that count: on a busy machine a client must not take its server for silent, and send again. */
export const CALM = { heartbeatInterval: 5_000 };
const open: { close(): Promise<unknown> }[] = [];
const folders: string[] = [];

/** For `afterEach`. */
export async function closeAll(): Promise<void> {
  await Promise.all(open.splice(0).map((thing) => thing.close()));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

export function track<T extends { close(): Promise<unknown> }>(thing: T): T {
  open.push(thing);
  return thing;
}

export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "shoal-clone-"));
  folders.push(path);
  return path;
}

export async function serve(
  options: CloneServerOptions = {},
  endpoint = "tcp://127.0.0.1:*",
): Promise<CloneServer & { readonly at: string }> {
  const server = track(new CloneServer({ heartbeatInterval: HEARTBEAT, ...options }));
  return Object.assign(server, { at: await server.bind(endpoint) });
}

export async function join_<T>(
  servers: string | readonly string[],
  options: CloneClientOptions<T> = {},
): Promise<CloneClient<T>> {
  const client = track(new CloneClient<T>(servers, { heartbeatInterval: HEARTBEAT, ...options }));
  await within(client.ready(), "the map");
  return client;
}

export async function take<V>(
  watch: AsyncIterator<CloneChange<V>>,
  count: number,
): Promise<CloneChange<V>[]> {
  const changes: CloneChange<V>[] = [];
  while (changes.length < count)
    changes.push((await within(watch.next(), "a change")).value as CloneChange<V>);
  return changes;
}
