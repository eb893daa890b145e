/** Whether this is the long form of the tests, `npm run test:long` or SHOAL_LONG=1: what the default run does a part of, it does whole. */
export const LONG = process.env.SHOAL_LONG === "1";
