/** Suggestions for misspelt words. */

/** The share of a word's letters that may differ. */
const WRONG = 0.4;

export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const most = WRONG * Math.max(word.length, candidate.length);
    if (Math.abs(word.length - candidate.length) > most) continue;
    const changes = distance(word.toLowerCase(), candidate.toLowerCase());
    if (changes > most || changes >= least) continue;
    best = candidate;
    least = changes;
  }
  return best;
}

/** `; did you mean WORD?`, or "". */
export function suggest(word: unknown, known: readonly string[]): string {
  const meant = typeof word === "string" ? nearest(word, known) : undefined;
  return meant === undefined ? "" : `; did you mean ${meant}?`;
}

/** Edit distance with swaps of neighbours (optimal string alignment). */
function distance(one: string, other: string): number {
  let before: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      const same = one[i - 1] === other[j - 1] ? 0 : 1;
      let least = Math.min(at(last, j) + 1, at(row, j - 1) + 1, at(last, j - 1) + same);
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1])
        least = Math.min(least, at(before, j - 2) + 1);
      row.push(least);
    }
    before = last;
    last = row;
  }
  return at(last, other.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] as number;
}
