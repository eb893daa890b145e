/** Client of a pair. A passive server is silent, for `attemptTimeout`; a lost connection ends an attempt at once. */
import { InvalidArgumentError } from "../../core/errors.js";
import { BodyShape } from "../../kit/body.js";
import { parseErrorReply } from "../../kit/errors.js";
import { checkOptions, codec, type GivenWithCodec } from "../../kit/options.js";
import { RequestClient, requestClientOptions } from "../../kit/request-client.js";
import { type EndpointSource, isEndpointSource } from "../../sockets/endpoint-source.js";
import type { Raw } from "../../sockets/shape.js";

const CLIENT_OPTIONS = {
  ...requestClientOptions({ timeout: 30_000, attemptTimeout: 1_000, retryDelay: 50, maxRetryDelay: 1_000 }),
  codec: codec(),
};

/**
 * Options of a pair's client. Times in ms; defaults: `timeout` 30,000, `attemptTimeout` 1,000, `retryDelay` 50,
 * `maxRetryDelay` 1,000. Attempts are limited only by `timeout`.
 */
export type BinaryStarClientOptions<T = Raw> = GivenWithCodec<typeof CLIENT_OPTIONS, T>;

/**
 * Asks the server of a pair that answered last, and the other one when that one fails.
 *
 * @example
 * ```ts
 * import { BinaryStarClient, BinaryStarServer } from "shoal/binary-star";
 *
 * const server = new BinaryStarServer(([word]) => `${word}!`, {
 *   star: { role: "primary", peer: "tcp://127.0.0.1:5604", heartbeatInterval: 100 },
 * });
 * const clients = await server.bind("clients", "tcp://127.0.0.1:*");
 * await server.bind("state", "tcp://127.0.0.1:*"); // The pair begins here.
 * const client = new BinaryStarClient([clients, "tcp://127.0.0.1:5605"]); // Primary and backup.
 * console.log(String(await client.request("hello"))); // hello!
 * await client.close();
 * await server.close();
 * ```
 */
export class BinaryStarClient<T = Raw> extends RequestClient<T, T> {
  /**
   * @param endpoints client endpoints of primary and backup, or a source of both in either order; while it is empty,
   *   calls wait
   * @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value
   */
  constructor(
    endpoints: readonly [primary: string, backup: string] | EndpointSource,
    options: BinaryStarClientOptions<T> = {},
  ) {
    const settings = checkOptions("BinaryStarClient", CLIENT_OPTIONS, options);
    if (!isEndpointSource(endpoints) && (!Array.isArray(endpoints) || endpoints.length !== 2))
      throw new InvalidArgumentError("BinaryStarClient has two endpoints: the primary's and the backup's");
    const shape = new BodyShape(options.codec);
    const terms = {
      requests: shape,
      replies: shape,
      retries: () => Number.POSITIVE_INFINITY,
      failsFast: true,
      errorOf: parseErrorReply,
    };
    super("BinaryStarClient", endpoints, settings, terms);
  }
}
