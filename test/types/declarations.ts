/** The exported names of a module and the members of its classes, as the type checker sees them. */
import ts from "typescript";

export interface Declared {
  readonly name: string;
  readonly kind: "class" | "type" | "value";
  /** Public members of a class's instances. */
  readonly members: readonly string[];
}

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts"],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  strict: true,
  exactOptionalPropertyTypes: true,
  allowJs: true,
  checkJs: true,
  maxNodeModuleJsDepth: 0,
  skipLibCheck: true,
  noEmit: true,
  types: ["node"],
};

export class Program {
  readonly checker: ts.TypeChecker;
  readonly #program: ts.Program;

  /** @param written files that are not on the disk, with their text */
  constructor(files: readonly string[], written: ReadonlyMap<string, string> = new Map()) {
    const host = ts.createCompilerHost(OPTIONS);
    const { fileExists, readFile } = host;
    host.fileExists = (path) => written.has(path) || fileExists(path);
    host.readFile = (path) => written.get(path) ?? readFile(path);
    this.#program = ts.createProgram(files, OPTIONS, host);
    this.checker = this.#program.getTypeChecker();
  }

  /** What the compiler says of files. @param isPart whether a file is a part of a program, of which only the syntax counts */
  problemsOf(files: readonly string[], isPart: (file: string) => boolean): string {
    const found = files.flatMap((file): readonly ts.Diagnostic[] => {
      const source = this.#program.getSourceFile(file);
      const syntax = this.#program.getSyntacticDiagnostics(source);
      return isPart(file) ? syntax : [...syntax, ...this.#program.getSemanticDiagnostics(source)];
    });
    return ts.formatDiagnostics(found, ts.createCompilerHost(OPTIONS));
  }

  /** Everything a module exports, by name. */
  exportsOf(file: string): Map<string, Declared> {
    const source = this.#program.getSourceFile(file);
    const module = source && this.checker.getSymbolAtLocation(source);
    if (module === undefined) throw new Error(`${file} is no module`);
    const found = new Map<string, Declared>();
    for (const symbol of this.checker.getExportsOfModule(module))
      found.set(symbol.name, this.#declared(symbol));
    return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #original(symbol: ts.Symbol): ts.Symbol {
    return (symbol.flags & ts.SymbolFlags.Alias) === 0 ? symbol : this.checker.getAliasedSymbol(symbol);
  }

  #declared(exported: ts.Symbol): Declared {
    const symbol = this.#original(exported);
    if ((symbol.flags & ts.SymbolFlags.Class) !== 0) {
      const members = this.checker
        .getDeclaredTypeOfSymbol(symbol)
        .getProperties()
        .filter((member) => {
          const flags = member.valueDeclaration ? ts.getCombinedModifierFlags(member.valueDeclaration) : 0;
          return (flags & (ts.ModifierFlags.Protected | ts.ModifierFlags.Private)) === 0;
        })
        .map((member) => member.name)
        .filter((name) => !name.startsWith("__#"));
      return { name: exported.name, kind: "class", members: members.map(plain).sort() };
    }
    const isValue = (symbol.flags & ts.SymbolFlags.Value) !== 0;
    return { name: exported.name, kind: isValue ? "value" : "type", members: [] };
  }
}

/** `__@asyncIterator@123` is the checker's name for a well-known symbol. */
function plain(name: string): string {
  const match = /^__@(\w+)@\d+$/.exec(name);
  return match === null ? name : `[Symbol.${match[1]}]`;
}
