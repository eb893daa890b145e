/** Addresses in a variable of the environment: what a deployment sets once for all its nodes. */
import { InvalidArgumentError } from "../../core/errors.js";
import { staticSource } from "./lists.js";
import type { DiscoverySource } from "./source.js";

/**
 * A list that stays as the environment has it.
 *
 * @param variable its name; "host:port" each, with commas between them
 * @throws InvalidArgumentError `EINVAL` for a variable that is not set, and what is not an address
 */
export function environmentSource(variable: string): DiscoverySource {
  const value = process.env[variable];
  if (value === undefined || value === "")
    throw new InvalidArgumentError(`the environment has no variable ${variable}`);
  return { ...staticSource(value.split(",")), name: `env:${variable}` };
}
