/**
 * A plugin of TypeDoc. A module has the name that programs import it by, as in package.json. An alias of the options of a
 * table, such as `type ServerOptions = Given<typeof OPTIONS>`, is an interface with the rows and their docstrings as members,
 * and so is one of statistics, such as `type ServerStats = StatisticsOf<typeof SERVER>`, with the help of rows without one;
 * an alias of events, such as `type ServerEvent = EventsOf<typeof EVENTS>`, is a union with the rows' docstrings.
 */
import { Comment, Context, Converter, ReflectionKind, UnionType } from "typedoc";
import ts from "typescript";

/** A state, such as `StatisticsOf<typeof SERVER>["state"]`. @param {ts.Node} node */
const isState = (node) =>
  ts.isIndexedAccessTypeNode(node) && /^StatisticsOf<.*\["state"\]$/.test(node.getText());

/** Whether a type is an alias of `Given`, of src/kit/options.ts, or of statistics. @param {ts.Symbol | undefined} symbol */
const isRows = (symbol) =>
  symbol?.declarations?.some(
    (each) =>
      ts.isTypeAliasDeclaration(each) &&
      /\b(?:Given(?:With\w*)?|StatisticsOf)</.test(each.type.getText()) &&
      !isState(each.type),
  );

/** What a row of src/statistics says of its metric. @param {ts.Symbol} symbol */
function helpOf({ declarations: [row] = [] }) {
  if (!row?.getSourceFile().fileName.includes("/src/statistics/")) return undefined;
  const texts = row.initializer?.arguments?.filter(ts.isStringLiteral).map(({ text }) => text);
  return texts?.find((text) => text.endsWith("."));
}

/** Whether a node is a type of events, of src/core/event-stream.ts. @param {ts.Node} node */
const isEvents = (node) => ts.isTypeReferenceNode(node) && node.typeName.getText() === "EventsOf";

/** The types of the events of a table, in its order, and their docstrings. @param {Context} context @param {ts.Node} node */
function rowsOf(context, node) {
  const { checker } = context;
  const all = checker.getTypeAtLocation(node);
  const types = all.isUnion() ? all.types : [all];
  return checker
    .getTypeAtLocation(node.typeArguments[0])
    .getProperties()
    .flatMap((row) =>
      types
        .filter((type) => checker.getTypeOfSymbol(type.getProperty("type")).value === row.name)
        .map((type) => ({ type, summary: context.getComment(row, ReflectionKind.Property)?.summary ?? [] })),
    );
}

/** @param {import("typedoc").Application} app */
export function load(app) {
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const module of project.getReflectionsByKind(ReflectionKind.Module)) {
      const name = module.name.replace(/^(?:patterns|sockets)\//, "");
      module.name = name === "index" ? "shoal" : `shoal/${name}`;
    }
  });

  // TypeDoc asks for the comment of an alias to see whether it has the tag @interface.
  const { getComment } = Context.prototype;
  Context.prototype.getComment = function (symbol, kind) {
    const comment = getComment.call(this, symbol, kind);
    const help = comment === undefined && kind === ReflectionKind.Property ? helpOf(symbol) : undefined;
    if (help !== undefined) return new Comment([{ kind: "text", text: help }]);
    if (kind !== ReflectionKind.TypeAlias || !isRows(symbol)) return comment;
    const tagged = comment?.clone() ?? new Comment();
    tagged.modifierTags.add("@interface");
    return tagged;
  };

  // TypeScript forgets the alias in a union, as of an optional parameter, and in an intersection: its name is in the declaration.
  const { convertType } = app.converter;
  app.converter.convertType = (context, type, node) => {
    if (isState(type))
      return convertType.call(app.converter, context, context.checker.getTypeAtLocation(type));
    const parts = ts.isUnionTypeNode(type) ? type.types : [type];
    if (parts.some(isEvents)) {
      const rows = parts.flatMap((part) =>
        isEvents(part) ? rowsOf(context, part) : [{ type: part, summary: [] }],
      );
      const union = new UnionType(rows.map((row) => convertType.call(app.converter, context, row.type)));
      union.elementSummaries = rows.map(({ summary }) => summary);
      return union;
    }
    const isNamed = [node, ...(node?.types ?? [])].some((each) => {
      const symbol = each && ts.isTypeReferenceNode(each) && context.getSymbolAtLocation(each.typeName);
      return symbol && isRows(context.resolveAliasedSymbol(symbol));
    });
    return convertType.call(app.converter, context, isNamed ? node : type, node);
  };
}
