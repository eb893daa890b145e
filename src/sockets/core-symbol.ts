/** For a socket's own methods. */
export const CORE: unique symbol = Symbol("shoal.core");
