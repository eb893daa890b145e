/** What is shown where nobody looks at a terminal: a line for each side, or JSON for each address. Pure. */
import { harmless, short } from "./numbers.js";
import type { RatedSide } from "./rates.js";
import { COUNTS, type CountName } from "./readings.js";
import type { AddressView, View } from "./view.js";

/** One line a side; an address that is away has one of its own. */
export function plainLines({ time, addresses }: View): string[] {
  const when = new Date(time).toISOString();
  return addresses.flatMap((address) => {
    const where = `${when} ${harmless(address.address)}`;
    if (!address.up) return [`${where} away: ${harmless(address.reason)}`];
    const { sources } = address.reading;
    if (sources.length === 0) return [`${where} nothing runs`];
    return sources.flatMap(({ name, kind, state, sides }) =>
      sides.map((side) => `${where} ${harmless(`${name} ${kind} ${state}`)} ${plainSide(side)}`),
    );
  });
}

const WORDS: Readonly<Record<CountName, string>> = {
  in: "in",
  out: "out",
  inBytes: "in-bytes",
  outBytes: "out-bytes",
  dropped: "dropped",
  refused: "refused",
};

function plainSide({ side, peers, queued, rates, ...counts }: RatedSide): string {
  const parts = [side];
  if (peers !== undefined) parts.push(`peers=${peers}`);
  for (const count of COUNTS) {
    if (counts[count] === undefined) continue;
    if (count === "dropped" || count === "refused") parts.push(`${WORDS[count]}=${counts[count]}`);
    else parts.push(`${WORDS[count]}=${short(rates[count])}/s`);
  }
  if (queued !== undefined) parts.push(`queued=${queued}`);
  return parts.join(" ");
}

/** One object an address. */
export function jsonLines({ time, addresses }: View): string[] {
  const when = new Date(time).toISOString();
  return addresses.map((address) => JSON.stringify({ time: when, ...jsonOf(address) }));
}

function jsonOf(view: AddressView): object {
  if (!view.up) {
    const { address, up, reason } = view;
    return { address, up, since: new Date(view.since).toISOString(), reason };
  }
  const { address, up, latency, reading } = view;
  return { address, up, latency, ...reading };
}
