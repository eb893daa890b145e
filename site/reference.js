/**
 * A plugin of TypeDoc. A module has the name that programs import it by, as in package.json. An alias of the options of a
 * table, such as `type ServerOptions = Given<typeof OPTIONS>`, is an interface with the rows and their docstrings as members;
 * one of events, such as `type ServerEvent = EventsOf<typeof EVENTS>`, is a union with the rows' docstrings.
 */
import { Comment, Context, Converter, ReflectionKind, UnionType } from "typedoc";
import ts from "typescript";

/** Whether a type is an alias of {@link Given}, of src/kit/options.ts. @param {ts.Symbol} symbol */
const isRows = (symbol) =>
  symbol.declarations?.some(
    (each) => ts.isTypeAliasDeclaration(each) && /\bGiven(?:With\w*)?</.test(each.type.getText()),
  );

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
    if (kind !== ReflectionKind.TypeAlias || !isRows(symbol)) return comment;
    const tagged = comment?.clone() ?? new Comment();
    tagged.modifierTags.add("@interface");
    return tagged;
  };

  // TypeScript forgets the alias when `undefined` is added, as for an optional parameter: its name is in the declaration.
  const { convertType } = app.converter;
  app.converter.convertType = (context, type, node) => {
    const parts = ts.isUnionTypeNode(type) ? type.types : [type];
    if (parts.some(isEvents)) {
      const rows = parts.flatMap((part) =>
        isEvents(part) ? rowsOf(context, part) : [{ type: part, summary: [] }],
      );
      const union = new UnionType(rows.map((row) => convertType.call(app.converter, context, row.type)));
      union.elementSummaries = rows.map(({ summary }) => summary);
      return union;
    }
    const named =
      node !== undefined && ts.isTypeReferenceNode(node) && context.getSymbolAtLocation(node.typeName);
    const isNamed = named && isRows(context.resolveAliasedSymbol(named));
    return convertType.call(app.converter, context, isNamed ? node : type, node);
  };
}
