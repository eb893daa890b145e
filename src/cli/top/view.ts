/** What is shown of all addresses at one moment. */
import type { RatedReading } from "./rates.js";

/** One address. */
export type AddressView = {
  readonly address: string;
} & (
  | { readonly up: true /** ms of its answer. */; readonly latency: number; readonly reading: RatedReading }
  | { readonly up: false /** ms since 1970. */; readonly since: number; readonly reason: string }
);

export interface View {
  /** ms since 1970. */
  readonly time: number;
  /** s between two looks. */
  readonly interval: number;
  readonly addresses: readonly AddressView[];
}

/** "2 of 3 answer". */
export function summary({ addresses }: View): string {
  const up = addresses.filter((address) => address.up).length;
  return up === addresses.length
    ? `${up} address${up === 1 ? "" : "es"}`
    : `${up} of ${addresses.length} addresses answer`;
}
