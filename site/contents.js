// @ts-check
/** The order of the pages: each part of the sidebar with its pages, named without `docs/` and `.md`. */

/** @typedef {{ title: string, pages: readonly string[], short?: boolean }} Part `short`: only its headings are searched */

/** @type {readonly Part[]} */
export const PARTS = [
  {
    title: "Guide",
    pages: [
      "getting-started",
      "choosing",
      "installing",
      "sockets",
      "codecs",
      "security",
      "cli",
      "browsers",
      "testing",
      "troubleshooting",
    ],
  },
  {
    title: "Patterns",
    pages: [
      "patterns/pirate",
      "patterns/load-balancer",
      "patterns/majordomo",
      "patterns/titanic",
      "patterns/binary-star",
      "patterns/freelance",
      "patterns/clone",
      "patterns/sequenced",
      "patterns/last-value-cache",
      "patterns/suicidal-snail",
      "patterns/espresso",
      "patterns/black-box",
    ],
  },
  {
    title: "Cluster",
    pages: [
      "clusters",
      "messaging",
      "services",
      "requests",
      "sessions",
      "discovery",
      "dynamic-clients",
      "operation",
    ],
  },
  { title: "Proxy and links", pages: ["proxy", "links", "metrics", "dashboard", "tracing"] },
  {
    title: "Reference",
    pages: [
      "errors",
      "limits",
      "guarantees",
      "engines",
      "performance",
      "performance-method",
      "../CHANGELOG",
      "../SECURITY",
      "../CODE_OF_CONDUCT",
      "index",
    ],
  },
  // Its chapters follow in the sidebar, with the programs of each.
  { title: "Examples", pages: ["guide"] },
  {
    title: "Wire formats",
    short: true,
    pages: [
      "spec/majordomo",
      "spec/clone",
      "spec/proxy",
      "spec/ws",
      "spec/cluster",
      "spec/discovery",
      "spec/zre",
      "spec/messaging",
      "spec/services",
      "spec/sessions",
      "spec/link",
    ],
  },
  {
    title: "How shoal is made",
    short: true,
    pages: ["internals/architecture", "internals/cluster", "internals/messaging"],
  },
];

/** Pages whose text is not searched: each word of the others would find them. */
export const UNSEARCHED = new Set(["../CHANGELOG", "index"]);
