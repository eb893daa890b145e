/** The environment of the processes that are measured. */

/**
 * This process's own, with what a command adds, and without `NODE_EXTRA_CA_CERTS`: with it Node.js 20 parses every certificate
 * that it knows, and those of the file, at each start, twice as much work as all else that it does before a program runs.
 */
export function measuredEnvironment(added: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { NODE_EXTRA_CA_CERTS: _, ...rest } = process.env;
  return { ...rest, ...added };
}
