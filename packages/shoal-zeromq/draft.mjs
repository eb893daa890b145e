import draft from "./draft.js";

export const { Client, Datagram, Dish, Gather, Radio, Scatter, Server } = draft;
export default draft;
