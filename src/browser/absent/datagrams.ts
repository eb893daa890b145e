/** No datagrams: the build puts it in the place of engine/zmtp/datagrams.ts (rolldown.config.js). */
import { NotSupportedError } from "../../core/errors.js";
import type { Listener } from "../../engine/zmtp/transport/transport.js";

function refusal(endpoint: string): NotSupportedError {
  return new NotSupportedError(`${endpoint}: a page has no datagrams`, "NOT_SUPPORTED", { endpoint });
}

export function assertPlainDatagrams(endpoint: string): void {
  throw refusal(endpoint);
}

export class Datagrams {
  async bind(endpoint: string): Promise<Listener> {
    throw refusal(endpoint);
  }

  connect(endpoint: string): void {
    throw refusal(endpoint);
  }

  disconnect(): boolean {
    return false;
  }

  stopAll(): void {}
}
