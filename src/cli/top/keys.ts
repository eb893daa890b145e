/**
 * What keys do to the live table. Pure.
 *
 *   table --"/"--> filter --Enter, Esc--> table      table --"?"--> help --any key--> table      q, Ctrl-C: quit
 */
import { stripVTControlCharacters } from "node:util";

/** What sources are sorted by, and the key for it. */
export const SORT_KEYS = {
  n: "name",
  s: "state",
  p: "peers",
  i: "in",
  o: "out",
  u: "queued",
  d: "dropped",
} as const;

/** Characters of a filter. */
const MAX_FILTER = 60;

export type SortBy = (typeof SORT_KEYS)[keyof typeof SORT_KEYS];

/** What the user has chosen. */
export interface Choice {
  readonly mode: "table" | "filter" | "help";
  /** Sources that have all its words are shown. */
  readonly filter: string;
  /** Absent: as they came. */
  readonly sort?: SortBy;
  /** The other way round. */
  readonly reversed: boolean;
}

export const FIRST_CHOICE: Choice = { mode: "table", filter: "", reversed: false };

const ESCAPE = "\u001b";
const INTERRUPT = "\u0003";
const ERASE = ["\u007f", "\b"];

/** The lines of the help. */
export const KEYS_HELP: readonly string[] = [
  "/  filter by words in name, kind, state and address",
  ...Object.entries(SORT_KEYS).map(([key, by]) => `${key}  sort by ${by}; once more: the other way round`),
  "r  the order in which they came",
  "?  these keys",
  "q  quit",
];

/** @param input what the terminal sent at once: a key, or text that was pasted @returns `quit`: it ends */
export function afterInput(choice: Choice, input: string): Choice | "quit" {
  // Arrows and function keys are sequences, which mean nothing here.
  const keys = input === ESCAPE ? [ESCAPE] : [...stripVTControlCharacters(input)];
  let now = choice;
  for (const key of keys) {
    const next = afterKey(now, key);
    if (next === "quit") return next;
    now = next;
  }
  return now;
}

function afterKey(choice: Choice, key: string): Choice | "quit" {
  if (key === INTERRUPT) return "quit";
  switch (choice.mode) {
    case "help":
      return key === "q" ? "quit" : { ...choice, mode: "table" };
    case "filter":
      if (key === "\r" || key === "\n") return { ...choice, mode: "table" };
      if (key === ESCAPE) return { ...choice, mode: "table", filter: "" };
      if (ERASE.includes(key)) return { ...choice, filter: [...choice.filter].slice(0, -1).join("") };
      if (/\p{Cc}/u.test(key) || choice.filter.length >= MAX_FILTER) return choice;
      return { ...choice, filter: choice.filter + key };
    case "table":
      return inTable(choice, key);
  }
}

function inTable(choice: Choice, key: string): Choice | "quit" {
  if (key === "q") return "quit";
  if (key === "/") return { ...choice, mode: "filter" };
  if (key === "?") return { ...choice, mode: "help" };
  if (key === ESCAPE) return { ...choice, filter: "" };
  const { sort, ...unsorted } = choice;
  if (key === "r") return { ...unsorted, reversed: false };
  if (!Object.hasOwn(SORT_KEYS, key)) return choice;
  const by = SORT_KEYS[key as keyof typeof SORT_KEYS];
  return { ...choice, sort: by, reversed: sort === by && !choice.reversed };
}
