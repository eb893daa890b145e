/** The environment of a process that several test files share. */

/** Remembers it as it is. @returns puts it back */
export function keepEnvironment(): () => void {
  const kept = { ...process.env };
  return () => {
    // In its place: an object of ours would keep values as they are, where the environment has texts, and native code sees its own.
    for (const name of Object.keys(process.env)) if (!(name in kept)) delete process.env[name];
    Object.assign(process.env, kept);
  };
}
