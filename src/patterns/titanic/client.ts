/** A client of Titanic: three requests over a Majordomo client. */
import { ProtocolError, TimeoutError } from "../../core/errors.js";
import type { MessageLike } from "../../sockets/message.js";
import { refusedWait, Waiter } from "../../sockets/waiter.js";
import { type CallOptions, MajordomoClient, type MajordomoClientOptions } from "../majordomo/client.js";
import { parseStatus, TITANIC_SERVICES, TitanicStatus } from "./protocol.js";
import { StoreError } from "./store.js";

/** What `titanic.reply` says. */
export interface TitanicReply {
  /** "200", "300", "400" or "500" (9/TSP, Status Frames). */
  readonly status: TitanicStatus;
  /** The reply's frames; empty unless the status is "200". */
  readonly body: Buffer[];
}

/** What {@link TitanicClient.wait} takes. */
export interface TitanicWaitOptions {
  /** ms between the first two questions; each pause is half as long again, up to `maxInterval`. Default 50. */
  readonly interval?: number;
  /** Default 2,000. */
  readonly maxInterval?: number;
  /** Gives up; the request stays with Titanic. */
  readonly signal?: AbortSignal;
}

/** Leaves requests with Titanic and fetches the replies, now or in another process. */
export class TitanicClient {
  readonly #client: MajordomoClient;

  /** @throws InvalidArgumentError `EINVAL` for an unknown option or a bad value */
  constructor(endpoints: string | readonly string[], options: MajordomoClientOptions = {}) {
    this.#client = new MajordomoClient(endpoints, options);
  }

  /**
   * Leaves a request. Once this settles, no crash loses it. When it rejects with a time-out, it may be
   * stored all the same.
   *
   * @param body 1 or more frames
   * @returns its UUID, 32 hexadecimal digits: whoever has it can fetch the reply
   * @throws StoreError `failed` when Titanic refuses (500); otherwise as {@link MajordomoClient.request}
   */
  async request(service: string, body: MessageLike | MessageLike[], options?: CallOptions): Promise<string> {
    const frames = [service, ...(Array.isArray(body) ? body : [body])];
    const [status, uuid] = await this.#client.request(TITANIC_SERVICES.request, frames, options);
    if (parseStatus(status) !== TitanicStatus.OK) throw refused("titanic.request", status);
    if (uuid === undefined) throw new ProtocolError("titanic.request answered without a UUID");
    return uuid.toString("latin1");
  }

  /** What there is of a reply. It stays with Titanic until `close`, or until it expires. */
  async reply(uuid: string, options?: CallOptions): Promise<TitanicReply> {
    const [first, ...body] = await this.#client.request(TITANIC_SERVICES.reply, [uuid], options);
    const status = parseStatus(first);
    if (status === undefined)
      throw new ProtocolError(`titanic.reply answered ${String(first)}, which is no status`);
    return { status, body };
  }

  /** Asks until the reply is there. Ends with "200", "400" or "500"; each question as {@link reply}. */
  async wait(uuid: string, options: TitanicWaitOptions = {}): Promise<TitanicReply> {
    const { interval = 50, maxInterval = 2_000, signal } = options;
    for (let pause = interval; ; pause = Math.min(pause * 1.5, maxInterval)) {
      const reply = await this.reply(uuid, signal === undefined ? {} : { signal });
      if (reply.status !== TitanicStatus.PENDING) return reply;
      await sleep(pause, signal);
    }
  }

  /** Says that request and reply are of no use any more. */
  async close(uuid: string, options?: CallOptions): Promise<void> {
    const [status] = await this.#client.request(TITANIC_SERVICES.close, [uuid], options);
    if (parseStatus(status) !== TitanicStatus.OK) throw refused("titanic.close", status);
  }

  /** Ends the connections; what was left with Titanic stays there. */
  async end(): Promise<void> {
    await this.#client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await refusedWait({ signal });
  const waiter = new Waiter<void>(
    Math.max(1, Math.round(ms)),
    signal,
    () => new TimeoutError("ETIMEDOUT", "over"),
    () => undefined,
  );
  await waiter.promise.catch((error: unknown) => {
    if (!(error instanceof TimeoutError)) throw error;
  });
}

function refused(service: string, status: Buffer | undefined): StoreError {
  return new StoreError("failed", `${service} was refused with ${String(status)}`);
}
