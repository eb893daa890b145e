/** This program or a remote address, read in the same way. */
import type { Reading } from "../metrics/reading.js";
import type { DashboardAction, DashboardItem } from "./state.js";

export interface SideDetails {
  readonly type?: string;
  readonly bound: readonly string[];
  readonly connected: readonly string[];
  /** May contain zeros. */
  readonly drops?: Readonly<Record<string, number>>;
}

/** Made on request. */
export interface SourceList {
  readonly length: number;
  /** At most 20,000. */
  items(): readonly DashboardItem[] | Promise<readonly DashboardItem[]>;
}

export interface SourceDetails {
  readonly sides?: Readonly<Record<string, SideDetails>>;
  readonly lists?: Readonly<Record<string, SourceList>>;
  /** As in a source's state. */
  readonly members?: readonly string[];
  readonly actions?: readonly DashboardAction[];
  /** Why the last action failed. */
  readonly refusal?: string;
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
  close(): Promise<void>;
}
