/** No sockets with addresses, where the page has not added them: their classes bring those of addressed.ts. */
export const ADDRESSED = {};
