/** An invalid command line, or an unusable file that it names: exit code 2. */
export class BadInput extends Error {
  override readonly name = "BadInput";
}

/**
 * Picks an item by name.
 * @throws BadInput with the known names
 */
export function pick<T extends { readonly name: string }>(
  what: string,
  known: readonly T[],
  name: string,
): T {
  const found = known.find((one) => one.name === name);
  if (found === undefined) {
    const names = known.map((one) => one.name).join(", ");
    throw new BadInput(`unknown ${what} ${JSON.stringify(name)}; known are ${names}`);
  }
  return found;
}
