import { describe, expect, test } from "vitest";
import { ALIAS_RESTART, MAX_TOPIC_ALIASES } from "../../../src/cluster/messaging/bounds.js";
import { AliasNumbers, SentAliases, TopicForm } from "../../../src/cluster/messaging/topic-aliases.js";
import { TopicPlan } from "../../../src/cluster/messaging/topic-plan.js";

const plans = (count: number): TopicPlan[] =>
  Array.from({ length: count }, (_, i) => new TopicPlan(`t/${i}`));

describe("aliases of a node's topics", () => {
  test("begin again when many publishes found none, and a link defines them again", () => {
    const aliases = new AliasNumbers();
    const first = plans(MAX_TOPIC_ALIASES);
    for (const plan of [...first, ...first]) aliases.look(plan);
    const sent = new SentAliases();
    for (const plan of first) sent.defined(plan);
    const late = new TopicPlan("late");
    aliases.look(late);
    for (let i = 1; i < ALIAS_RESTART; i++) aliases.look(late);
    expect([late.alias, aliases.generation]).toEqual([-1, 1]);
    aliases.look(late);
    expect([late.alias, aliases.generation]).toEqual([0, 2]);
    expect([sent.formOf(late), sent.formOf(first[1] as TopicPlan)]).toEqual([
      TopicForm.DEFINE,
      TopicForm.USE,
    ]);
  });
});
