/** A callback that does nothing. */
export function ignore(): void {}
