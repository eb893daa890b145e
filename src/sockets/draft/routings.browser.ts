/** Draft types of ../routings.browser.ts. */
export * from "../../engine/zmtp/routing/draft-routings.js";
