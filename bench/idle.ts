/** Whether the machine is idle: figures of a busy one cannot be compared. */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { setTimeout as pause } from "node:timers/promises";

/** ms for which processors are observed. */
const OBSERVED = 2_000;
/** Limits: shares of the processors' time. */
const WORKING = 0.1;
const STOLEN = 0.02;

interface Ticks {
  readonly working: number;
  readonly stolen: number;
  readonly all: number;
}

function ticks(): Ticks {
  try {
    // user nice system idle iowait irq softirq steal
    const [, line = ""] = /^cpu +([\d ]+)$/m.exec(readFileSync("/proc/stat", "utf8")) ?? [];
    const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, stolen = 0] = line
      .split(" ")
      .map(Number);
    const working = user + nice + system + irq + soft;
    return { working, stolen, all: working + idle + wait + stolen };
  } catch {
    // Other systems do not report stolen time.
    const sum = { working: 0, stolen: 0, all: 0 };
    for (const { times } of cpus()) {
      const working = times.user + times.nice + times.sys + times.irq;
      sum.working += working;
      sum.all += working + times.idle;
    }
    return sum;
  }
}

/** @returns why the machine is not idle; `undefined` if it is */
export async function whyBusy(): Promise<string | undefined> {
  const before = ticks();
  await pause(OBSERVED);
  const after = ticks();
  const all = Math.max(1, after.all - before.all);
  return describe({
    working: (after.working - before.working) / all,
    stolen: (after.stolen - before.stolen) / all,
  });
}

export function describe({ working, stolen }: Record<"working" | "stolen", number>) {
  const reasons: string[] = [];
  if (working > WORKING) reasons.push(`other work takes ${(100 * working).toFixed(0)} % of its processors`);
  if (stolen > STOLEN) reasons.push(`its host takes ${(100 * stolen).toFixed(0)} % of its processors`);
  return reasons.length === 0 ? undefined : reasons.join(", ");
}
