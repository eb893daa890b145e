/** Assigns processor cores to sides, so that they do not share one. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Parses the kernel's `0-2,5`: 0, 1, 2, 5. */
export function parseCores(list: string): number[] {
  return list
    .trim()
    .split(",")
    .filter((part) => part !== "")
    .flatMap((part) => {
      const [from = 0, to = from] = part.split("-").map(Number);
      return Array.from({ length: to - from + 1 }, (_, i) => from + i);
    });
}

/** Splits cores into at most `parts` adjacent groups of nearly equal size. */
export function groupCores(cores: readonly number[], parts: number): number[][] {
  const groups = Math.max(1, Math.min(parts, cores.length));
  return Array.from({ length: groups }, (_, i) =>
    cores.slice(Math.floor((i * cores.length) / groups), Math.floor(((i + 1) * cores.length) / groups)),
  );
}

/** Cores that this process may use; empty if unknown. */
function allowedCores(): number[] {
  try {
    const status = readFileSync("/proc/self/status", "utf8");
    return parseCores(/^Cpus_allowed_list:\s*(.*)$/m.exec(status)?.[1] ?? "");
  } catch {
    return [];
  }
}

export interface Pinning {
  readonly cores: readonly number[];
  /** Prefix of a role's command. The first role has the first group to itself. */
  prefix(roleIndex: number, roles: number): readonly string[];
}

/** @returns `undefined` with fewer than two cores, or without `taskset` */
export function findPinning(): Pinning | undefined {
  const cores = allowedCores();
  if (cores.length < 2) return undefined;
  try {
    execFileSync("taskset", ["-c", cores.join(","), "true"], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  return {
    cores,
    prefix(roleIndex, roles) {
      if (roles < 2) return [];
      const groups = groupCores(cores, roles);
      // With more roles than cores, the first role keeps its own, and the others share the rest in turn.
      const group =
        roleIndex === 0
          ? 0
          : groups.length === roles
            ? roleIndex
            : 1 + ((roleIndex - 1) % (groups.length - 1));
      return ["taskset", "-c", (groups[group] ?? cores).join(",")];
    },
  };
}
