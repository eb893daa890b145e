/** MQTT 5, section 4.7, as a table: the standard's own examples and what follows from its sentences. */

export type Rule = readonly [rule: string, filter: string, topic: string, matches: boolean];

const rows: readonly (readonly [section: string, filter: string, topics: Record<string, boolean>])[] = [
  // 4.7.1.1: levels are separated by "/"; next to each other, or at the ends, they delimit a level of no characters.
  ["a separator", "/", { "/": true, a: false, "//": false, "a/": false, "/a": false }],
  ["levels without text", "a//b", { "a//b": true, "a/b": false, "a/x/b": false }],
  // 4.7.1.2: multi-level wildcard.
  [
    "# is the parent and any number of child levels",
    "sport/tennis/player1/#",
    {
      "sport/tennis/player1": true,
      "sport/tennis/player1/ranking": true,
      "sport/tennis/player1/score/wimbledon": true,
      "sport/tennis/player10": false,
      "sport/tennis/player1/": true,
      "sport/tennis": false,
      "Sport/tennis/player1": false,
    },
  ],
  [
    "# includes the parent",
    "sport/#",
    { sport: true, "sport/": true, "sport//": true, sports: false, "/sport": false },
  ],
  ["# alone is everything", "#", { a: true, "/": true, "a/b/c": true, "//": true, "a/$SYS": true }],
  ["# after a separator", "/#", { "/": true, "/a": true, "//": true, a: false, "a/": false, "/$SYS": true }],
  // 4.7.1.3: single-level wildcard.
  [
    "+ is exactly one level",
    "sport/tennis/+",
    {
      "sport/tennis/player1": true,
      "sport/tennis/player2": true,
      "sport/tennis/player1/ranking": false,
      "sport/tennis/": true,
      "sport/tennis": false,
    },
  ],
  [
    "+ is one level, not the parent",
    "sport/+",
    { sport: false, "sport/": true, "sport/a": true, "sport/a/": false },
  ],
  ["+ alone", "+", { a: true, "/": false, "a/b": false, "/finance": false }],
  [
    "+ with a #",
    "+/tennis/#",
    { "a/tennis": true, "/tennis": true, "a/tennis/b/c": true, "a/b/tennis": false },
  ],
  [
    "+ between levels",
    "sport/+/player1",
    { "sport/tennis/player1": true, "sport//player1": true, "sport/player1": false },
  ],
  ["+ twice", "+/+", { "/finance": true, "a/b": true, "/": true, a: false, "a/b/c": false, "//": false }],
  ["+ after a separator", "/+", { "/finance": true, "/": true, finance: false, "/a/b": false }],
  ["+ and then #", "+/#", { a: true, "a/b": true, "/": true, "a/b/c": true }],
  ["+ before a separator", "+/", { "/": true, "a/": true, a: false, "a/b": false }],
  // 4.7.2: topics that begin with "$".
  ["# does not match $ topics", "#", { $SYS: false, "$SYS/monitor": false, $: false, "$share/x/y": false }],
  [
    "+ does not match $ topics",
    "+/monitor/Clients",
    { "$SYS/monitor/Clients": false, "a/monitor/Clients": true },
  ],
  ["+ alone does not match $ topics", "+", { $SYS: false, $: false, S$: true }],
  ["+/# does not match $ topics", "+/#", { "$SYS/a": false, $SYS: false }],
  ["$ named", "$SYS/#", { "$SYS/monitor": true, $SYS: true, "$SYS/": true, "SYS/monitor": false }],
  ["$ named, with +", "$SYS/monitor/+", { "$SYS/monitor/Clients": true, "$SYS/monitor": false }],
  ["$ in a later level is nothing special", "a/+", { "a/$b": true }],
  ["$ in a later level is nothing special to #", "a/#", { "a/$b/c": true }],
  ["$ alone", "$", { $: true, $a: false }],
  // 4.7.3: semantics and usage.
  ["case matters", "ACCOUNTS", { ACCOUNTS: true, Accounts: false }],
  [
    "spaces count",
    "Accounts payable",
    { "Accounts payable": true, "Accounts  payable": false, "Accounts payable ": false },
  ],
  ["a leading / is another topic", "/finance", { "/finance": true, finance: false }],
  ["a trailing / is another topic", "a/b", { "a/b": true, "a/b/": false }],
  ["nothing is normalized", "caf\u00e9", { "caf\u00e9": true, "cafe\u0301": false }],
  ["characters of several bytes", "+/𝄞/€", { "é/𝄞/€": true, "é/𝄞/E": false, "𝄞/€/€": false }],
  ["an exact filter is one topic", "t/a", { "t/a": true, "t/b": false, t: false, "t/a/x": false }],
];

export const RULES: readonly Rule[] = rows.flatMap(([section, filter, topics]) =>
  Object.entries(topics).map(([topic, matches]): Rule => {
    const said = `${section}: ${filter} ${matches ? "matches" : "does not match"} ${topic}`;
    return [said, filter, topic, matches];
  }),
);
