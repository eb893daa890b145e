/** Whether a process should be given work. Pure. */

/** Why a source is not ready: `undefined` when it is. */
export function unreadiness(stats: unknown): string | undefined {
  const state = (stats as { readonly state?: unknown } | null | undefined)?.state;
  // Brokers have no state in their accounts: those that can say more bring a `ready` of their own.
  if (typeof state !== "string") return undefined;
  return state === "running" || state === "paused" ? undefined : state;
}

/** What `/readyz` says. */
export interface Readiness {
  readonly ready: boolean;
  /** A line for each source. */
  readonly text: string;
}

/** @param sources why each one is not ready; no sources: nothing is open yet */
export function readinessOf(
  sources: readonly (readonly [name: string, why: string | undefined])[],
): Readiness {
  const ready = sources.length > 0 && sources.every(([, why]) => why === undefined);
  const lines = sources.map(([name, why]) => `${name}: ${why ?? "ready"}\n`);
  return { ready, text: lines.length === 0 ? "nothing runs yet\n" : lines.join("") };
}
