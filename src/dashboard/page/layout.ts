/**
 * Positions of the map's boxes. Pure.
 *
 *   column 0          column 1                    column 2
 *   senders      ->   frontend [proxy] backend -> receivers
 *
 * Messages flow from left to right as far as sides show it: from a backend to its linked frontend.
 */
import type { DashboardLink, DashboardSide } from "../state.js";
import { hasPeers, type Shown } from "./model.js";

export const BOX_WIDTH = 140;
export const BOX_HEIGHT = 52;
const COLUMN_GAP = 124;
const ROW_GAP = 22;
const MARGIN = 101;
/** The filter selects others. */
export const MAX_BOXES = 150;
const MAX_COLUMNS = 12;

export interface Box {
  readonly x: number;
  readonly y: number;
  /** Absent: an endpoint without a watched listener. */
  readonly shown?: Shown;
  readonly text: string;
  /** Peers outside of the map. */
  readonly left: Strangers;
  readonly right: Strangers;
}

interface Strangers {
  readonly peers: number;
  readonly rate: number;
  readonly at: readonly string[];
}

export interface Edge {
  readonly left: Box;
  readonly right: Box;
  readonly rate: number;
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly Box[];
  readonly edges: readonly Edge[];
  readonly more: number;
}

/** Sides and types that mainly send. */
const SENDS = new Set("backend push publisher xpublisher request scatter radio client".split(" "));
const RECEIVES = new Set("frontend pull subscriber xsubscriber reply gather dish server".split(" "));

/** `undefined`: both ways. */
function sends(side: DashboardSide | undefined): boolean | undefined {
  for (const word of [side?.side ?? "", side?.type ?? ""]) {
    if (SENDS.has(word)) return true;
    if (RECEIVES.has(word)) return false;
  }
  return undefined;
}

interface Pair {
  readonly left: string;
  readonly right: string;
  readonly link: DashboardLink;
}

export function layoutOf(all: readonly Shown[], links: readonly DashboardLink[]): Layout {
  const shown = all.slice(0, MAX_BOXES);
  const byId = new Map(shown.map((each) => [each.source.id, each]));
  const sideOf = (id: string, side: string): DashboardSide | undefined =>
    byId.get(id)?.source.sides.find((each) => each.side === side);
  const outside = new Map<string, string>();
  const pairs = links.flatMap((link): Pair[] => {
    if (!byId.has(link.from)) return [];
    let to = link.to;
    if (to === undefined || !byId.has(to)) {
      if (to !== undefined || byId.size + outside.size >= MAX_BOXES) return [];
      to = `outside ${link.endpoint}`;
      outside.set(to, link.endpoint);
    }
    const fromSends = sends(sideOf(link.from, link.fromSide));
    const toSends = sends(sideOf(to, link.toSide ?? ""));
    const isForward = fromSends ?? (toSends === undefined ? true : !toSends);
    return [isForward ? { left: link.from, right: to, link } : { left: to, right: link.from, link }];
  });
  const ids = [...byId.keys(), ...outside.keys()];
  const columns = columnsOf(ids, pairs);
  const rows: number[] = [];
  const boxes = new Map<string, Box>();
  for (const id of ids) {
    const column = columns.get(id) ?? 0;
    const row = rows[column] ?? 0;
    rows[column] = row + 1;
    const each = byId.get(id);
    boxes.set(id, {
      x: MARGIN + column * (BOX_WIDTH + COLUMN_GAP),
      y: ROW_GAP / 2 + row * (BOX_HEIGHT + ROW_GAP),
      text: each?.source.name ?? outside.get(id) ?? id,
      ...(each === undefined ? {} : { shown: each }),
      ...strangersOf(each, links),
    });
  }
  const edges = pairs.flatMap(({ left, right, link }): Edge[] => {
    const from = boxes.get(left);
    const to = boxes.get(right);
    if (from === undefined || to === undefined) return [];
    // A node counts its traffic with all members.
    const { rates = {} } = (link.fromSide !== "members" && sideOf(link.from, link.fromSide)) || {};
    return [{ left: from, right: to, rate: (rates.in ?? 0) + (rates.out ?? 0) }];
  });
  const width = 2 * MARGIN + Math.max(1, rows.length) * (BOX_WIDTH + COLUMN_GAP) - COLUMN_GAP;
  const height = Math.max(1, ...rows.map((count) => count ?? 0)) * (BOX_HEIGHT + ROW_GAP);
  return { width, height, boxes: [...boxes.values()], edges, more: all.length - shown.length };
}

/** A box's column is right of its senders. Cycles end at the last column. */
function columnsOf(ids: readonly string[], pairs: readonly Pair[]): ReadonlyMap<string, number> {
  const columns = new Map(ids.map((id) => [id, 0]));
  for (let round = 0; round < MAX_COLUMNS - 1; round++) {
    let isSettled = true;
    for (const { left, right } of pairs) {
      const wanted = Math.min(MAX_COLUMNS - 1, (columns.get(left) ?? 0) + 1);
      if (left === right || (columns.get(right) ?? 0) >= wanted) continue;
      columns.set(right, wanted);
      isSettled = false;
    }
    if (isSettled) break;
  }
  return columns;
}

/** A source's peers without a link: unwatched programs. */
function strangersOf(
  shown: Shown | undefined,
  links: readonly DashboardLink[],
): { readonly left: Strangers; readonly right: Strangers } {
  const none: Strangers = { peers: 0, rate: 0, at: [] };
  const strangers = { left: none, right: none };
  if (shown === undefined) return strangers;
  const { id, sides } = shown.source;
  for (const side of sides) {
    if (!hasPeers(side)) continue;
    const known = links.filter(
      (link) =>
        (link.from === id && link.fromSide === side.side) || (link.to === id && link.toSide === side.side),
    ).length;
    const where = sends(side) === true ? "right" : "left";
    const { peers, rate, at } = strangers[where];
    strangers[where] = {
      peers: peers + Math.max(0, (side.peers ?? 0) - known),
      rate: rate + (side.rates.in ?? 0) + (side.rates.out ?? 0),
      at: [...at, ...(side.bound ?? [])],
    };
  }
  return strangers;
}
