/** Client of model 1. */

import { BodyShape } from "../../kit/body.js";
import type { PatternEndpoints } from "../../kit/endpoint-list.js";
import { ServiceError } from "../../kit/errors.js";
import { checkOptions, codec, type GivenWithCodec, integer } from "../../kit/options.js";
import { RequestClient, requestClientOptions } from "../../kit/request-client.js";
import type { Raw } from "../../sockets/shape.js";
import { errorTextOf } from "./protocol.js";

/** As many as the Guide's attempts at a single server. */
const ROUNDS = 3;

const FAILOVER_OPTIONS = {
  ...requestClientOptions({ timeout: -1, attemptTimeout: 1_000, retryDelay: 50, maxRetryDelay: 1_000 }),
  /** Attempts after the first, each at the next server. Default: three per server in total. */
  retries: integer({ min: 0 }),
  codec: codec(),
};

/** Times in ms; defaults: `timeout` -1, `attemptTimeout` 1,000, `retryDelay` 50, `maxRetryDelay` 1,000. */
export type FreelanceFailoverClientOptions<T = Raw> = GivenWithCodec<typeof FAILOVER_OPTIONS, T>;

/**
 * Asks the server that replied last, and the next when it times out, refuses or ends the connection. One request is
 * in flight at a time; it may be handled more than once.
 *
 * @example
 * ```ts
 * import { FreelanceFailoverClient, FreelanceServer } from "shoal/freelance";
 *
 * const server = new FreelanceServer(([n]) => String(Number(n) + 1), { model: 1 });
 * const client = new FreelanceFailoverClient([await server.bind("tcp://127.0.0.1:*")]);
 * console.log(String(await client.request("41"))); // 42
 * await client.close();
 * await server.close();
 * ```
 */
export class FreelanceFailoverClient<T = Raw> extends RequestClient<T, T> {
  /**
   * @param endpoints of the servers, in order of preference; or a source: calls wait while it is empty
   * @throws InvalidArgumentError `EINVAL` for an unknown option, a bad value or a bad endpoint
   */
  constructor(endpoints: PatternEndpoints, options: FreelanceFailoverClientOptions<T> = {}) {
    const settings = checkOptions("FreelanceFailoverClient", FAILOVER_OPTIONS, options);
    const shape = new BodyShape(options.codec);
    super("FreelanceFailoverClient", endpoints, settings, {
      requests: shape,
      replies: shape,
      retries: (servers) => settings.retries ?? ROUNDS * servers - 1,
      failsFast: true,
      errorOf: (frames, endpoint) => {
        const text = errorTextOf(1, frames);
        return text === undefined ? undefined : new ServiceError("worker-failed", endpoint, text);
      },
    });
  }
}
