/** The errors a program meets; docs/errors.md lists their codes. */
export * from "../core/errors.js";
