/**
 * A plugin of TypeDoc. A module has the name that programs import it by, as in package.json. An alias of the options of a
 * table, such as `type ServerOptions = Given<typeof OPTIONS>`, is an interface with the rows and their docstrings as members.
 */
import { Comment, Context, Converter, ReflectionKind } from "typedoc";
import ts from "typescript";

/** Whether a type is an alias of {@link Given}, of src/patterns/kit/options.ts. @param {ts.Symbol} symbol */
const isRows = (symbol) =>
  symbol.declarations?.some(
    (each) => ts.isTypeAliasDeclaration(each) && /\bGiven(?:With\w*)?</.test(each.type.getText()),
  );

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
    const named =
      node !== undefined && ts.isTypeReferenceNode(node) && context.getSymbolAtLocation(node.typeName);
    const isNamed = named && isRows(context.resolveAliasedSymbol(named));
    return convertType.call(app.converter, context, isNamed ? node : type, node);
  };
}
