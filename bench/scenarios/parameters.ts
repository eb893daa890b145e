/** Values of a scenario's own parameters, which can come from `--set`. */
import { BadInput } from "../bad-input.js";
import type { Parameters } from "../contract.js";

/** @throws BadInput for what is not a number above 0 */
export function positive(parameters: Parameters, name: string): number {
  const value = parameters[name];
  if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
  throw new BadInput(`${name} is a number above 0; got ${JSON.stringify(value)}`);
}

/** @throws BadInput for what is not one of `known` */
export function oneOf<T extends string>(parameters: Parameters, name: string, known: readonly T[]): T {
  const value = parameters[name];
  const found = known.find((one) => one === value);
  if (found !== undefined) return found;
  throw new BadInput(`there is no ${name} ${JSON.stringify(value)}; known are ${known.join(", ")}`);
}
