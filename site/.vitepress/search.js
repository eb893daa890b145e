/** How the site is searched, by MiniSearch: when it is built (VitePress), in the page, and in site/check.js. */

export const search = {
  /** Examples and the reference are found by their names alone: those of modules, and of all that they export. */
  _render(text, env, md) {
    if (!/^(?:api|examples)\//.test(env.relativePath)) return md.render(text, env);
    const names = text.match(env.relativePath.endsWith("/index.md") ? /^#{1,3} .*/gm : /^# .*/m) ?? [];
    return md.render(names.map((name) => `${name}\n\n${env.relativePath}\n\n`).join(""), env);
  },
  miniSearch: {
    // Functions go to the page as text: they may use nothing outside of themselves.
    options: {
      /** Drops the words of questions, and endings: "retries" and "retry" are one term. */
      processTerm(term) {
        const lower = term.toLowerCase();
        const common =
          /^(?:an?|and|are|as|at|be|by|can|do|does|for|from|get|has|have|how|i|if|in|is|it|its|may|me|my|not|of|on|one|or|should|so|that|the|their|there|this|to|use|want|was|what|when|where|which|who|why|will|with|you|your)$/;
        if (common.test(lower)) return null;
        return lower.replace(/ies$/, "y").replace(/(?<=[a-z]{3})(?:(?<!s)s|ed|ing)$/, "");
      },
    },
    searchOptions: {
      fuzzy: (term) => (term.length > 4 ? 0.15 : false),
      prefix: (term) => term.length > 2,
      boost: { title: 6, titles: 3, text: 1 },
      boostDocument: (id) => (/\/(?:api|examples|spec|internals)\/|CHANGELOG/.test(id) ? 0.3 : 1),
    },
  },
};
