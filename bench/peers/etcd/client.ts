/**
 * The used parts of the package @grpc/grpc-js, which is installed only where etcd is measured, and of its
 * dependencies.
 */
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import type { Place, Store } from "../key-value/store.js";
import type { Side } from "../node/side.js";
import { MESSAGES } from "./messages.js";

interface WatchResponse {
  readonly created: boolean;
  readonly canceled: boolean;
  readonly cancel_reason: string;
  readonly events: readonly { readonly kv: { readonly key: Buffer; readonly value: Buffer } }[];
}

interface WatchCall {
  write(request: { create_request: { key: Buffer; range_end: Buffer } }): void;
  on(event: "data", listener: (response: WatchResponse) => void): this;
  on(event: "error", listener: (error: Error) => void): this;
  cancel(): void;
}

interface KeyValueClient {
  Put(request: { key: Buffer; value: Uint8Array }, done: (error: Error | null) => void): void;
  close(): void;
}
interface WatchClient {
  Watch(): WatchCall;
  close(): void;
}
type Constructor<C> = new (address: string, credentials: unknown, options?: Record<string, unknown>) => C;

interface Grpc {
  readonly credentials: { createInsecure(): unknown };
  loadPackageDefinition(definition: unknown): {
    readonly etcdserverpb: {
      readonly KV: Constructor<KeyValueClient>;
      readonly Watch: Constructor<WatchClient>;
    };
  };
}
interface ProtoLoader {
  fromJSON(description: unknown, options: Record<string, unknown>): unknown;
}

const require = createRequire(import.meta.url);
const grpc = require("@grpc/grpc-js") as Grpc;
// A dependency of that package.
const loader = createRequire(require.resolve("@grpc/grpc-js"))("@grpc/proto-loader") as ProtoLoader;
const { KV, Watch } = grpc.loadPackageDefinition(
  loader.fromJSON(MESSAGES, { keepCase: true, defaults: true }),
).etcdserverpb;

/** The first key after all keys with a prefix: the end of a range in etcd. */
function behind(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  end[end.length - 1] = (end[end.length - 1] as number) + 1;
  return end;
}

/** @param root prefix of all keys of a run */
function storeAt(address: string, root: string): Store {
  // A separate connection for each store, as elsewhere; the package would share one.
  const options = { "grpc.use_local_subchannel_pool": 1 };
  const credentials = grpc.credentials.createInsecure();
  const values = new KV(address, credentials, options);
  const watches = new Watch(address, credentials, options);
  const calls: WatchCall[] = [];
  /** Last put of each key, since the server executes calls of one connection in any order. */
  const last = new Map<string, Promise<void>>();
  let closed = false;
  const put = (key: string, value: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      values.Put({ key: Buffer.from(root + key), value }, (error) =>
        error === null ? resolve() : reject(error),
      );
    });
  return {
    put(key, value) {
      const before = last.get(key);
      const done = before === undefined ? put(key, value) : before.then(() => put(key, value));
      last.set(key, done);
      void done.then(() => last.get(key) === done && last.delete(key));
      return done;
    },
    watch: (prefix, changed) =>
      new Promise<void>((resolve, reject) => {
        const call = watches.Watch();
        calls.push(call);
        const key = Buffer.from(root + prefix);
        call.on("error", (error) => {
          if (!closed) reject(error);
        });
        call.on("data", ({ created, canceled, cancel_reason, events }) => {
          if (canceled) throw new Error(`etcd ended a watch: ${cancel_reason}`);
          if (created) resolve();
          for (const { kv } of events) changed(kv.key.toString("latin1", root.length), kv.value);
        });
        call.write({ create_request: { key, range_end: behind(key) } });
      }),
    async close() {
      closed = true;
      for (const call of calls) call.cancel();
      values.close();
      watches.close();
    },
  };
}

/**
 * The keys of a run.
 * @param binds whether this side chooses their prefix
 */
export function keysOf(side: Side, binds: boolean): Place {
  const endpoint = binds ? `${side.option("server", "")}/bench-${randomUUID()}/` : side.endpoint;
  const { host, pathname } = new URL(endpoint);
  return {
    endpoint,
    open: async () => storeAt(host, pathname),
    // They are removed with the server's folder.
    remove: async () => undefined,
  };
}
