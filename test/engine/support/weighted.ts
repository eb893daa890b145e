/** Steps of schedules: what happens often, and what seldom. */
import fc from "../../support/properties.js";

/** One of the names, each as often as its number says. */
export function weighted<Name extends string>(times: Record<Name, number>): fc.Arbitrary<Name> {
  const all = Object.entries<number>(times).flatMap(([name, count]) => Array<string>(count).fill(name));
  return fc.constantFrom(...(all as Name[]));
}
