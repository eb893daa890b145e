/** Chooses the engine of a context. */
import { InvalidArgumentError } from "../core/errors.js";
import type { Engine } from "./engine.js";
import { loadLibzmqEngine } from "./libzmq/engine.js";
import { loadZmtpEngine } from "./zmtp/engine.js";

const LOADERS: Readonly<Record<string, () => Engine>> = {
  zmtp: loadZmtpEngine,
  libzmq: loadLibzmqEngine,
};

export const ENGINE_NAMES: readonly string[] = Object.keys(LOADERS);

const DEFAULT_ENGINE = "zmtp";

/**
 * @param choice `undefined`: the environment variable `SHOAL_ENGINE`, else the default
 * @throws InvalidArgumentError `EINVAL` for an unknown name or object
 * @throws NotSupportedError `ERR_ENGINE_UNAVAILABLE`
 */
export function selectEngine(choice: string | Engine | undefined): Engine {
  if (typeof choice === "object" && typeof choice?.createContext === "function") return choice;
  const fromEnvironment =
    choice === undefined && process.env.SHOAL_ENGINE ? process.env.SHOAL_ENGINE : undefined;
  const name: unknown = choice === undefined ? (fromEnvironment ?? DEFAULT_ENGINE) : choice;
  const load = typeof name === "string" && Object.hasOwn(LOADERS, name) ? LOADERS[name] : undefined;
  if (load === undefined) {
    const origin = fromEnvironment === undefined ? "engine" : "SHOAL_ENGINE";
    const got = typeof name === "string" ? JSON.stringify(name) : name === null ? "null" : typeof name;
    throw new InvalidArgumentError(`${origin} must be one of ${ENGINE_NAMES.join(", ")}; got ${got}`);
  }
  return load();
}
