/** What the tests of Clone's drivers have: servers, clients and folders that are gone after each test. */
import {
  type CloneChange,
  CloneClient,
  type CloneClientOptions,
  CloneServer,
  type CloneServerOptions,
} from "../../../src/patterns/index.js";
import { within } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { removeAfterEach } from "../../support/folders.js";

export const HEARTBEAT = 100;
/** For tests that count: on a busy machine a client must not take its server for silent, and send again. */
export const CALM = { heartbeatInterval: 5_000 };

/** Once for a file, outside of its tests. */
export function cloneRig() {
  const folder = removeAfterEach();
  const track: <T extends { close(options?: { linger: number }): unknown }>(thing: T) => T = closeAfterEach();
  async function serve(
    options: CloneServerOptions = {},
    endpoint = "tcp://127.0.0.1:*",
  ): Promise<CloneServer & { readonly at: string }> {
    const server = track(new CloneServer({ heartbeatInterval: HEARTBEAT, ...options }));
    return Object.assign(server, { at: await server.bind(endpoint) });
  }
  async function join_<T>(
    servers: string | readonly string[],
    options: CloneClientOptions<T> = {},
  ): Promise<CloneClient<T>> {
    const client = track(new CloneClient<T>(servers, { heartbeatInterval: HEARTBEAT, ...options }));
    await within(client.ready(), "the map");
    return client;
  }
  return { folder, track, serve, join_ };
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
