/** The used parts of the package @redis/client, which is installed only where Redis is measured. */
import { randomUUID } from "node:crypto";
import { requirePackage } from "../../places.js";
import type { Side } from "../node/side.js";

/** A client that returns Buffers instead of strings. */
export interface Client {
  /** @returns the list's length */
  rPush(key: string, values: Buffer | Buffer[]): Promise<number>;
  lLen(key: string): Promise<number>;
  publish(channel: string, message: Buffer): Promise<number>;
  /** Sends any command; replies have Buffers. */
  sendCommand(words: readonly (string | Buffer)[]): Promise<unknown>;
  subscribe(channel: string, listener: (message: Buffer) => void, bufferMode: true): Promise<void>;
  connect(): Promise<unknown>;
  on(event: "error", listener: (error: Error) => void): unknown;
  destroy(): void;
}

interface Package {
  createClient(options: { url: string; commandOptions: object }): Client;
  readonly RESP_TYPES: { readonly BLOB_STRING: number };
}

const { createClient, RESP_TYPES } = requirePackage<Package>("@redis/client");

/** Server and name of a run. */
export interface Place {
  readonly url: string;
  readonly name: string;
  readonly endpoint: string;
}

/** A new place for a side that would bind elsewhere; the given one for a side that connects. */
export function placeOf(side: Side, binds: boolean): Place {
  const endpoint = binds ? `${side.option("server", "")}/?name=${randomUUID()}` : side.endpoint;
  const { host, searchParams } = new URL(endpoint);
  return { url: `redis://${host}`, name: `bench:${searchParams.get("name")}`, endpoint };
}

export async function open({ url }: Place): Promise<Client> {
  const typeMapping = { [RESP_TYPES.BLOB_STRING]: Buffer };
  const client = createClient({ url, commandOptions: { typeMapping } });
  client.on("error", (error) => {
    throw error;
  });
  await client.connect();
  return client;
}

export async function takeOne(client: Client, key: string): Promise<Buffer> {
  const [, body] = (await client.sendCommand(["BLPOP", key, "0"])) as [Buffer, Buffer];
  return body;
}

/** Waits for elements of a list, and takes up to `max`. */
export async function takeMany(client: Client, key: string, max: number): Promise<Buffer[]> {
  const words = ["BLMPOP", "0", "1", key, "LEFT", "COUNT", String(max)];
  const [, bodies] = (await client.sendCommand(words)) as [Buffer, Buffer[]];
  return bodies;
}
