// @ts-check
/** `--smoke`: only see that it runs. */
export const smoke = process.argv.includes("--smoke");

/** For every case of benny. */
export const options = smoke ? { minSamples: 1, maxTime: 0.02 } : {};
