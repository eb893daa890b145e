/**
 * Which of the host's interfaces a node uses, as they are now: they come up after it was started, go, and get other addresses.
 *
 *   read() at the start ──every READ_INTERVAL, and soon after a datagram could not be sent──> read() ──> onRead
 */
import { InvalidArgumentError } from "../../core/errors.js";
import { transportError } from "../../engine/zmtp/errors.js";
import type { HostInterface, Platform } from "../../engine/zmtp/transport/transports.js";

/** ms between two looks at the interfaces. */
const READ_INTERVAL = 5_000;
/** ms from a failed datagram to the next look: the failures of a second are one look. */
const READ_AFTER_FAILURE = 1_000;

const LOOPBACK: HostInterface = { name: "lo", address: "127.0.0.1", internal: true };

export interface InterfaceSettings {
  readonly scope: "host" | "link";
  /** The one to use, by its name or address; `undefined`: all. */
  readonly interface: string | undefined;
}

/**
 * The interfaces that packets go out by; the first one's address is the node's.
 *
 * @throws InvalidArgumentError `EINVAL` where the one to use is not there; TransportError with the system's code
 */
export function readInterfaces(
  platform: Platform,
  { scope, interface: wanted }: InterfaceSettings,
): HostInterface[] {
  const all = list(platform);
  const named = all.filter(({ name, address }) => name === wanted || address === wanted);
  if (wanted !== undefined && named.length === 0) {
    const names = [...new Set(all.map(({ name }) => name))].join(", ");
    throw new InvalidArgumentError(`there is no interface ${JSON.stringify(wanted)}; there are ${names}`);
  }
  if (scope === "host") return [LOOPBACK];
  if (wanted !== undefined) return named;
  const found = all.filter(({ internal }) => !internal);
  // A machine without a network is a link of its own.
  return found.length > 0 ? found : [LOOPBACK];
}

function list(platform: Platform): readonly HostInterface[] {
  try {
    return platform.interfaces();
  } catch (error) {
    // Node's own code says that it was the system, and `info` has the system's.
    const { message, info } = error as Error & { readonly info?: { readonly code?: string } };
    const cause = info === undefined ? error : Object.assign(new Error(message), { code: info.code });
    throw transportError(cause, "list", "the host's interfaces");
  }
}

/** Looks at the interfaces again and again. */
export class InterfaceWatch {
  readonly #read: () => readonly HostInterface[];
  readonly #onRead: (interfaces: readonly HostInterface[]) => void;
  #timer: NodeJS.Timeout | undefined;
  #isSoon = false;
  #stopped = false;

  /** @param read may throw; then nothing is reported */
  constructor(read: () => readonly HostInterface[], onRead: (interfaces: readonly HostInterface[]) => void) {
    this.#read = read;
    this.#onRead = onRead;
  }

  start(): void {
    this.#schedule(READ_INTERVAL);
  }

  /** A datagram could not be sent: an interface may be gone, or have another address. */
  onSendFailed(): void {
    if (this.#isSoon || this.#stopped || this.#timer === undefined) return;
    this.#isSoon = true;
    this.#schedule(READ_AFTER_FAILURE);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#isSoon = false;
      this.#schedule(READ_INTERVAL);
      let interfaces: readonly HostInterface[];
      try {
        interfaces = this.#read();
      } catch {
        return; // No descriptor is left, or the one to use is gone for now: what was read before counts.
      }
      this.#onRead(interfaces);
    }, ms);
    this.#timer.unref();
  }
}
