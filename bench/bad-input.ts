/** The command line, or a file it names, cannot be worked with: exit code 2. */
export class BadInput extends Error {
  override readonly name = "BadInput";
}

/** Picks by name. @throws BadInput with the names that there are */
export function pick<T extends { readonly name: string }>(
  what: string,
  known: readonly T[],
  name: string,
): T {
  const found = known.find((one) => one.name === name);
  if (found === undefined) {
    const names = known.map((one) => one.name).join(", ");
    throw new BadInput(`there is no ${what} ${JSON.stringify(name)}; known are ${names}`);
  }
  return found;
}
