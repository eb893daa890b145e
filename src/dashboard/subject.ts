/** This program or a remote address, read in the same way. */
import type { Reading } from "../metrics/reading.js";
import type { DashboardAction, DashboardItem, DashboardSide, DashboardSource } from "./state.js";

/** `drops` may contain zeros. */
export type SideDetails = Pick<DashboardSide, "type" | "drops"> &
  Required<Pick<DashboardSide, "bound" | "connected">>;

/** Made on request. */
export interface SourceList {
  readonly length: number;
  /** At most 20,000. */
  items(): readonly DashboardItem[] | Promise<readonly DashboardItem[]>;
}

export interface SourceDetails extends Partial<Pick<DashboardSource, "members" | "actions" | "refusal">> {
  readonly sides?: Readonly<Record<string, SideDetails>>;
  readonly lists?: Readonly<Record<string, SourceList>>;
}

export interface SubjectReading {
  readonly reading: Reading;
  readonly details: ReadonlyMap<string, SourceDetails>;
}

export interface Subject {
  readonly address: string;
  /** Rejects without a response. @param timeout ms */
  read(timeout: number, signal: AbortSignal): Promise<SubjectReading>;
  /** @throws the source's error */
  act(source: string, action: DashboardAction): Promise<void>;
  reasonOf(error: unknown): string;
}
