/**
 * The broker's own services (8/MMI). The body's last frame is the argument, the
 * reply's first the status:
 *
 *   mmi.service   name    -> 200 a worker offers it | 404 none does
 *   mmi.services          -> 200 | name | workers | queued | … three frames for each service, 1,000 services at most
 *   mmi.stats             -> 200 | the accounts as JSON
 *   mmi.shoal             -> 200 | incarnation | ms between heartbeats | intervals until a silent end counts as dead
 *   any other             -> 501
 */
import type { BrokerStats } from "./broker-events.js";
import type { BrokerLimits } from "./broker-options.js";
import type { Service } from "./broker-tables.js";
import type { RequestCommand } from "./protocol-broker.js";

/** Services that one answer lists at most. */
const MAX_LISTED = 1_000;

const OK = Buffer.from("200");
const NOT_FOUND = Buffer.from("404");
const NOT_IMPLEMENTED = Buffer.from("501");

export function mmiAnswer(
  command: RequestCommand,
  services: ReadonlyMap<string, Service>,
  stats: () => BrokerStats,
  incarnation: Buffer,
  limits: BrokerLimits,
): Buffer[] {
  switch (command.service.toString()) {
    case "mmi.service": {
      const name = String(command.body.at(-1));
      return [(services.get(name)?.workers.size ?? 0) > 0 ? OK : NOT_FOUND];
    }
    case "mmi.services": {
      const frames: Buffer[] = [OK];
      for (const service of services.values()) {
        if (frames.length > 3 * MAX_LISTED) break;
        const counts = [service.workers.size, service.queue.length];
        frames.push(service.frame, ...counts.map((count) => Buffer.from(String(count))));
      }
      return frames;
    }
    case "mmi.stats":
      return [OK, Buffer.from(JSON.stringify(stats()))];
    case "mmi.shoal":
      return [
        OK,
        incarnation,
        Buffer.from(String(limits.heartbeatInterval)),
        Buffer.from(String(limits.liveness)),
      ];
    default:
      return [NOT_IMPLEMENTED];
  }
}
