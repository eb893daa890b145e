/** Socket options that a case asks for: high-water marks, backlog, CURVE, TLS. What it does not name stays as the library has it. */
import type { Side } from "../side.js";

interface CaseOptions {
  sendHighWaterMark?: number;
  receiveHighWaterMark?: number;
  backlog?: number;
  curveServer?: boolean;
  curvePublicKey?: string;
  curveSecretKey?: string;
  curveServerKey?: string;
  tlsCert?: string;
  tlsKey?: string;
  tlsCa?: string;
}

/** @param direction which of the two high-water marks the socket type has */
export function caseOptions(side: Side, direction: "in" | "out" | "both"): CaseOptions {
  const options: CaseOptions = {};
  const mark = side.number("high-water-mark", -1);
  if (mark >= 0 && direction !== "in") options.sendHighWaterMark = mark;
  if (mark >= 0 && direction !== "out") options.receiveHighWaterMark = mark;
  const backlog = side.number("backlog", -1);
  if (backlog >= 0) options.backlog = backlog;
  if (side.option("security", "null") === "curve") {
    options.curvePublicKey = side.option("public-key", "");
    options.curveSecretKey = side.option("secret-key", "");
    const server = side.option("server-key", "");
    if (server === "") options.curveServer = true;
    else options.curveServerKey = server;
  }
  for (const name of ["tlsCert", "tlsKey", "tlsCa"] as const) {
    const pem = side.option(name, "");
    if (pem !== "") options[name] = pem;
  }
  return options;
}

/** The backend's endpoint of a broker or proxy with this frontend's. */
export function backendOf(endpoint: string): string {
  return endpoint.startsWith("tcp:") ? "tcp://127.0.0.1:*" : `${endpoint}-backend`;
}

/** What the process grew by since, in bytes, at its peak. */
export function growthSince(rss: number): { readonly rssGrowth: number } {
  return { rssGrowth: Math.max(0, process.resourceUsage().maxRSS * 1024 - rss) };
}
