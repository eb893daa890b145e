/** Refused schemes, with the reason. */

export const REFUSED: Readonly<Record<string, string>> = {
  pgm: "PGM needs raw sockets, and a library that is not maintained; use Radio and Dish over udp://",
  epgm: "PGM over UDP needs a library that is not maintained; use Radio and Dish over udp://",
};
