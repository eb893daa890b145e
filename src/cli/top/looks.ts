/** How the accounts of an address are got: over HTTP, or from a proxy's control socket. */
import type { Sample } from "../../metrics/samples.js";
import { describe, Failure, UsageError } from "../failure.js";
import type { SecurityOptions } from "../security.js";
import { parseStatus, STATUS } from "./control-status.js";
import { parsePrometheusText } from "./prometheus-text.js";
import { isRead } from "./readings.js";

/** Bytes of an answer; metrics have a few ten thousand. */
const MAX_ANSWER = 16_777_216;

const NO_ANSWER = "no answer in time";

const HANDSHAKE_FAULTS = [
  "handshake:error:auth",
  "handshake:error:protocol",
  "handshake:error:other",
] as const;

/** An address that can be asked again and again. */
export interface Address {
  /** Its accounts. Rejects with what is wrong. @param timeout ms */
  look(timeout: number, signal: AbortSignal): Promise<Sample[]>;
  close(): Promise<void>;
}

/** Whether an address is that of a proxy's control socket. */
export function isControl(text: string): boolean {
  return /^(?:tcp|ipc):\/\//.test(text);
}

/** @param security of control sockets @throws UsageError for an address that cannot be asked */
export async function openAddress(text: string, security: SecurityOptions): Promise<Address> {
  if (/^https?:\/\//.test(text)) return overHttp(text);
  if (isControl(text)) return overControl(text, security);
  throw new UsageError(
    `address ${JSON.stringify(text)}: expected http://HOST:PORT of metrics, or tcp://… or ipc://… of a proxy's control socket`,
  );
}

function overHttp(text: string): Address {
  if (!URL.canParse(text)) throw new UsageError(`address ${JSON.stringify(text)} is no URL`);
  const url = new URL(text);
  if (url.pathname === "/") url.pathname = "/metrics";
  return {
    look: (timeout, signal) =>
      within(timeout, signal, async (limit) => {
        const response = await fetch(url, { signal: limit, redirect: "error" });
        if (!response.ok) {
          await response.body?.cancel();
          throw new Failure(`HTTP ${response.status}`);
        }
        return parsePrometheusText(await bounded(response), isRead);
      }),
    close: async () => undefined,
  };
}

/** Node.js 20 collects signals that only `AbortSignal.any` knows, time-outs too: here is one that lasts. */
async function within<T>(
  timeout: number,
  signal: AbortSignal,
  action: (limit: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const abort = (): void => controller.abort(signal.reason);
  const timer = setTimeout(() => controller.abort(new Failure(NO_ANSWER)), timeout);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await action(controller.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  }
}

async function bounded(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER) throw new Failure(`its answer has more than ${MAX_ANSWER} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

async function overControl(endpoint: string, security: SecurityOptions): Promise<Address> {
  const { Request } = await import("../../index.js");
  const { handshakeFault } = await import("../endpoints.js");
  const { asUsage } = await import("../failure.js");
  const socket = new Request({
    ...security,
    linger: 0,
    maxMessageSize: MAX_ANSWER,
    reconnectInterval: 100,
    reconnectMaxInterval: 1_000,
  });
  // Why there is no answer, as long as it is known.
  let barred: string | undefined;
  const curve = security.curveServerKey !== undefined;
  for (const type of HANDSHAKE_FAULTS)
    socket.events.on(type, (event) => {
      barred = handshakeFault(event, curve);
    });
  socket.events.on("peer:join", () => {
    barred = undefined;
  });
  try {
    await asUsage(() => socket.connect(endpoint));
  } catch (error) {
    await socket.close({ linger: 0 });
    throw error;
  }
  return {
    async look(timeout, signal) {
      const frames = await socket.request(STATUS, { timeout, signal }).catch((error: unknown) => {
        throw barred === undefined ? error : new Failure(barred);
      });
      return parseStatus(String(frames[0] ?? ""));
    },
    close: async () => {
      await socket.close({ linger: 0 });
    },
  };
}

/** Why a look failed, in words. */
export function reasonOf(error: unknown): string {
  const { cause, code } = error as Error & { readonly code?: string };
  if (code === "ETIMEDOUT") return NO_ANSWER;
  // fetch says "fetch failed", and why in the cause; of several attempts, in their codes.
  if (cause instanceof AggregateError) return describe(cause.errors[0] ?? cause);
  return describe(cause instanceof Error ? cause : error);
}
