/** What rows of statistics make of their values. */
import { expectTypeOf } from "vitest";
import {
  byReason,
  counter,
  flag,
  gauge,
  group,
  milliseconds,
  optionalGauge,
  type StatisticsOf,
  states,
  unexported,
} from "../../src/statistics/rows.js";

const ROWS = {
  requests: counter("Requests."),
  dropped: byReason<"full" | "closed">("Dropped requests."),
  faults: byReason("Faults."),
  serving: flag("1 while serving."),
  peers: optionalGauge("Peers."),
  delay: milliseconds("Delay.", "delay"),
  state: states("State.", ["open", "closed"]),
  snapshots: group({
    done: counter("Snapshots."),
    active: gauge("Active ones."),
    parked: unexported<number>(),
  }),
  peer: unexported<string | undefined>(),
};

type Statistics = StatisticsOf<typeof ROWS>;
expectTypeOf<Statistics>().toEqualTypeOf<{
  readonly requests: number;
  readonly dropped: Readonly<Record<"full" | "closed", number>>;
  readonly faults: Readonly<Record<string, number>>;
  readonly serving: boolean;
  readonly peers: number | undefined;
  readonly delay: number;
  readonly state: "open" | "closed";
  readonly snapshots: { readonly done: number; readonly active: number; readonly parked: number };
  readonly peer: string | undefined;
}>();
