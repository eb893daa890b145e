/** A transport's listeners and dials, looked at from outside; all ended after each test. */
import type { Socket } from "node:net";
import { afterEach } from "vitest";
import { optionValues } from "../../../../src/core/option-table.js";
import type { KernelStream } from "../../../../src/engine/zmtp/transport/tcp.js";
import type {
  Listener,
  Stream,
  Transport,
  TransportOptions,
} from "../../../../src/engine/zmtp/transport/transport.js";
import { until, within } from "../../../contract/support/wait.js";

export class TransportWorld {
  readonly accepted: KernelStream[] = [];
  readonly #listeners: Listener[] = [];
  readonly #sockets: Socket[] = [];
  readonly #cancels: (() => void)[] = [];

  constructor(readonly transport: Transport) {
    afterEach(async () => {
      for (const cancel of this.#cancels.splice(0)) cancel();
      for (const socket of this.#sockets.splice(0)) socket.destroy();
      this.accepted.length = 0;
      await Promise.all(this.#listeners.splice(0).map((listener) => listener.close()));
    });
  }

  readonly acceptor = {
    accepted: (stream: Stream): void => {
      const kernel = stream as KernelStream;
      this.#sockets.push(kernel.socket);
      this.accepted.push(kernel);
    },
    failed: (): void => undefined,
  };

  async listen(endpoint: string, options: Partial<TransportOptions> = {}): Promise<Listener> {
    const listener = await this.transport.listen(endpoint, optionValues(options), this.acceptor);
    this.#listeners.push(listener);
    return listener;
  }

  listenSync(endpoint: string, options: Partial<TransportOptions> = {}): Listener {
    const listener = this.transport.listenSync(endpoint, optionValues(options), this.acceptor);
    this.#listeners.push(listener);
    return listener;
  }

  dial(endpoint: string, options: Partial<TransportOptions> = {}): Promise<Stream | Error> {
    return within(
      new Promise((resolve) => {
        this.#cancels.push(
          this.transport.dial(endpoint, optionValues(options), (result) => {
            if (!(result instanceof Error)) {
              this.#sockets.push(result.socket as Socket);
              result.socket.on("error", () => undefined);
            }
            resolve(result);
          }),
        );
      }),
      `a dial of ${endpoint}`,
    );
  }

  /** Dials what is expected to stand. */
  async connect(endpoint: string, options: Partial<TransportOptions> = {}): Promise<Stream> {
    const result = await this.dial(endpoint, options);
    if (result instanceof Error) throw result;
    return result;
  }

  async peers(count: number): Promise<KernelStream[]> {
    await until(() => this.accepted.length >= count, `${count} accepted streams`);
    return this.accepted;
  }
}

/** The error's code, or what came instead of an error. */
export async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    const value = await promise;
    return value instanceof Error ? (value as NodeJS.ErrnoException).code : value;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code;
  }
}
