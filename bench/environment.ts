/**
 * Environment of measured processes: this process's, with added variables, and without `NODE_EXTRA_CA_CERTS`. With
 * the latter, Node 20 parses all its certificates and those of the file at each start, which takes twice as long as
 * the rest of its start.
 */
export function measuredEnvironment(added: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { NODE_EXTRA_CA_CERTS: _, ...rest } = process.env;
  return { ...rest, ...added };
}
