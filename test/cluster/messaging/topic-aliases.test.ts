import { expect, test } from "vitest";
import { MAX_TOPIC_ALIASES } from "../../../src/cluster/messaging/bounds.js";
import {
  AliasNumbers,
  SentAliases,
  TopicForm,
  TopicPlan,
} from "../../../src/cluster/messaging/publication.js";

test("a number that another topic has had meanwhile is defined again, and one that is not shared is used", () => {
  const aliases = new AliasNumbers();
  const plans = Array.from({ length: MAX_TOPIC_ALIASES + 1 }, (_, i) => new TopicPlan(`t/${i}`));
  for (const plan of [...plans, ...plans]) aliases.look(plan);
  const [first, second] = plans as [TopicPlan, TopicPlan];
  const last = plans.at(-1) as TopicPlan;
  const sent = new SentAliases();
  for (const plan of [first, second]) sent.defined(plan);
  expect([first, second, last].map((plan) => [plan.alias, sent.formOf(plan)])).toEqual([
    [0, TopicForm.USE],
    [1, TopicForm.USE],
    [0, TopicForm.DEFINE],
  ]);
  sent.defined(last);
  expect([first, second, last].map((plan) => sent.formOf(plan))).toEqual([
    TopicForm.DEFINE,
    TopicForm.USE,
    TopicForm.USE,
  ]);
});
