/** Draft types of ../routings.ts. */
export const Client = undefined;
export const Server = undefined;
export const Peer = undefined;
export const Radio = undefined;
export const Dish = undefined;
export const Scatter = undefined;
export const Gather = undefined;
export const Channel = undefined;
