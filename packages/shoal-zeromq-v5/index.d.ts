export * from "shoal-zeromq/v5-compat";
export { default } from "shoal-zeromq/v5-compat";
