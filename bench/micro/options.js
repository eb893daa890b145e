// @ts-check
/** `--smoke`: only check that it runs. */
export const smoke = process.argv.includes("--smoke");

/** Options of every case of benny. */
export const options = smoke ? { minSamples: 1, maxTime: 0.02 } : {};
