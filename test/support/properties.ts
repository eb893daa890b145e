/**
 * fast-check with the seed of seed.ts. The default run does at most 50 runs of a property, or the `defaultRuns` that
 * it names; SHOAL_LONG=1 does all that it asks for.
 *
 * Lists, texts and bytes are as long as their `maxLength` allows, every length about as often. Of itself fast-check makes ten
 * elements at most, whatever `maxLength` says, and a schedule of ten steps does not come far. Where no `maxLength` is given
 * it is ten.
 */
import real, {
  type Arbitrary as ArbitraryOf,
  type IAsyncProperty,
  type IProperty,
  type Parameters,
  type StringConstraints,
} from "fast-check";
import { LONG } from "./long.js";
import { replayCommand, SEEDS_NOW } from "./seed.js";

real.configureGlobal({
  ...real.readConfigureGlobal(),
  seed: SEEDS_NOW.base,
  defaultSizeToMaxWhenMaxSpecified: true,
  // A failure may have very many smaller ones, and vitest cannot end a loop.
  ...(!LONG && { interruptAfterTimeLimit: 20_000 }),
});

/** Runs of a property that names no number, and the most that the default run does of one without `defaultRuns`. */
const RUNS = 50;

interface CountedParameters<T> extends Parameters<T> {
  /** Runs without SHOAL_LONG=1; default: 100 at most. */
  readonly defaultRuns?: number;
}

/** As fast-check's, with the command that repeats a failure. */
function assert<T>(property: IAsyncProperty<T>, parameters?: CountedParameters<T>): Promise<void>;
function assert<T>(property: IProperty<T>, parameters?: CountedParameters<T>): void;
function assert<T>(
  property: IProperty<T> | IAsyncProperty<T>,
  { numRuns: asked = RUNS, defaultRuns = Math.min(asked, RUNS), ...parameters }: CountedParameters<T> = {},
): void | Promise<void> {
  const seed = parameters.seed ?? SEEDS_NOW.base;
  const numRuns = LONG ? asked : defaultRuns;
  try {
    const checked = real.assert(property as IProperty<T>, { ...parameters, numRuns }) as void | Promise<void>;
    return checked?.catch((error: unknown) => explain(error, seed));
  } catch (error) {
    explain(error, seed);
  }
}

/** What an arbitrary generates. */
export type ValueOf<A> = A extends ArbitraryOf<infer T> ? T : never;

/** Checks it of generated values, as often as `parameters` say. */
export function forAll<Values extends [unknown, ...unknown[]]>(
  arbitraries: { readonly [At in keyof Values]: ArbitraryOf<Values[At]> },
  parameters: CountedParameters<Values>,
  check: (...values: Values) => void,
): void {
  assert(real.property(...arbitraries, check), parameters);
}

/** The same of what is awaited. */
export function forAllAsync<Values extends [unknown, ...unknown[]]>(
  arbitraries: { readonly [At in keyof Values]: ArbitraryOf<Values[At]> },
  parameters: CountedParameters<Values>,
  check: (...values: Values) => Promise<void>,
): Promise<void> {
  return assert(real.asyncProperty(...arbitraries, check), parameters);
}

function explain(error: unknown, seed: number): never {
  if (error instanceof Error && !error.message.includes("SHOAL_SEED="))
    error.message += `\n\nRepeat it with: ${replayCommand(seed)}`;
  throw error;
}

/** Code points without the surrogates, as of fast-check's unit "binary", whose table takes a process more than a second. */
const codePoint = real
  .nat(0x10_ffff - 0x800)
  .map((at) => String.fromCodePoint(at < 0xd800 ? at : at + 0x800));

function string(constraints: StringConstraints = {}): ArbitraryOf<string> {
  return real.string(constraints.unit === "binary" ? { ...constraints, unit: codePoint } : constraints);
}

const fc: Omit<typeof real, "assert"> & { readonly assert: typeof assert } = { ...real, assert, string };
/** The types that are named through it, as fast-check's own are. */
declare namespace fc {
  type Arbitrary<T> = ArbitraryOf<T>;
}
export default fc;
