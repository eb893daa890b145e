/** The reply of a proxy's control socket to `{"command":"status"}`, read as samples. Pure. */
import type { MetricsKind } from "../../metrics/metrics-table.js";
import { type Sample, samplesOf } from "../../metrics/samples.js";
import { Failure } from "../failure.js";

export const STATUS = '{"command":"status"}';

const KINDS: Readonly<Record<string, MetricsKind>> = {
  "router dealer": "queue",
  "xsub xpub": "forwarder",
  "pull push": "streamer",
};

/** @throws Failure for what is no status */
export function parseStatus(text: string): Sample[] {
  const status = parsed(text);
  if (status?.ok !== true || typeof status.state !== "string")
    throw new Failure(`no proxy: it answered ${text.slice(0, 60)}`);
  const kind = KINDS[`${typeOf(status.frontend)} ${typeOf(status.backend)}`] ?? "proxy";
  const name = typeof status.name === "string" ? status.name : kind;
  return samplesOf({ name, kind, stats: status });
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function typeOf(side: unknown): string {
  const type = (side as { readonly type?: unknown } | null | undefined)?.type;
  return typeof type === "string" ? type : "";
}
