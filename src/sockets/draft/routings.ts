/** Draft types of ../routings.ts. */
export const client = undefined;
export const server = undefined;
export const peer = undefined;
export const radio = undefined;
export const dish = undefined;
export const scatter = undefined;
export const gather = undefined;
export const channel = undefined;
