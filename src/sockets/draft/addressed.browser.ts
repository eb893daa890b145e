/** A page adds the methods of addressed.ts with the classes that need them. */
export const ADDRESSED = {};
