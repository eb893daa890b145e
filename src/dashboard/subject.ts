/** What the dashboard watches: this program, or an address that answers. Each is read in the same way. */
import type { Reading } from "../metrics/readings.js";
import type { RecordedSteps } from "../metrics/trace-recorder.js";
import type { DashboardAction, DashboardItem } from "./state.js";

/** What is known of a side beyond its counters. */
export interface SideDetails {
  readonly type?: string;
  readonly bound: readonly string[];
  readonly connected: readonly string[];
  /** Messages that were dropped, by reason; those that are 0 may be there. */
  readonly drops?: Readonly<Record<string, number>>;
}

/** Lines of a source that are asked for: they are made when somebody does. */
export interface SourceList {
  readonly length: number;
  /** 20,000 at most. */
  items(): readonly DashboardItem[] | Promise<readonly DashboardItem[]>;
}

/** What is known of a source beyond its counters. */
export interface SourceDetails {
  readonly sides?: Readonly<Record<string, SideDetails>>;
  readonly lists?: Readonly<Record<string, SourceList>>;
  readonly actions?: readonly DashboardAction[];
  /** Why what it was asked to do last failed. */
  readonly refusal?: string;
}

/** One look at a subject. */
export interface SubjectReading {
  readonly reading: Reading;
  /** By the source's name. */
  readonly details: ReadonlyMap<string, SourceDetails>;
}

export interface Subject {
  /** As it was given. */
  readonly address: string;
  /** Reads it once. Rejects when it does not answer. @param timeout ms */
  read(timeout: number, signal: AbortSignal): Promise<SubjectReading>;
  /**
   * Steps of sampled messages that were recorded since the last look, which has it record. Absent: it records none.
   *
   * @param after `next` of the look before; 0 at first
   */
  traces?(after: number, timeout: number, signal: AbortSignal): Promise<RecordedSteps>;
  /** Pauses, resumes or drains a source. @throws what it says */
  act(source: string, action: DashboardAction): Promise<void>;
  /** Why a reading failed, in words. */
  reasonOf(error: unknown): string;
  close(): Promise<void>;
}
