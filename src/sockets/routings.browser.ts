/** A page loads only the routings of the classes that it uses. */
export * from "../engine/zmtp/routing/routings.js";
