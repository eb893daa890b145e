/** What the engine lacks a page does not have as an option; stands in for engine/zmtp/option-checks.ts. */

export const UNSUPPORTED_OPTIONS: readonly string[] = [];

export function assertSupported(): void {}

export function assertAllSupported(): void {}

export function warnOfOption(): void {}
