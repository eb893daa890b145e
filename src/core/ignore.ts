/** A listener for what somebody else deals with, or nobody has to. */
export function ignore(): void {}
