/** Options whose values nobody may read in a log: those of keys and passwords. */
const SECRETS: readonly string[] = ["curveSecretKey", "plainPassword"];

/** Whether an option's value is a secret. */
export function isSecret(option: string): boolean {
  return SECRETS.includes(option);
}

/** The same options, of which `util.inspect`, loops and spreading see no secrets; reading one by its name does. */
export function hideSecrets(options: Record<string, unknown>): Record<string, unknown> {
  for (const name of SECRETS) {
    if (!Object.hasOwn(options, name)) continue;
    Object.defineProperty(options, name, { enumerable: false, writable: true, value: options[name] });
  }
  return options;
}
