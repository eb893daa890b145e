/**
 * Completions of the binary for three shells. Each is a script that has all commands in it, so that a Tab starts no process.
 * Pure.
 *
 *   words before the cursor -> the command that they name -> its commands and options, or the values of the option before
 */
import { allCommands, type CommandNode, type OptionNode } from "./command-tree.js";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** What an endpoint may begin with. */
const SCHEMES = ["tcp://", "ipc://", "tls://", "ws://", "wss://", "cluster:"];

const SCRIPTS: Readonly<Record<Shell, (root: CommandNode) => string>> = { bash, zsh, fish };

export function completionScript(shell: Shell, root: CommandNode): string {
  return SCRIPTS[shell](root);
}

/** Options that take a value, with the commands that have each: those alike together. */
function valuesOf(root: CommandNode): { readonly paths: string[]; readonly option: OptionNode }[] {
  const found = new Map<string, { readonly paths: string[]; readonly option: OptionNode }>();
  for (const { path, options } of allCommands(root)) {
    for (const option of options) {
      if (option.kind === "none") continue;
      const key = [option.names, option.kind, option.words].join(" ");
      const same = found.get(key);
      if (same === undefined) found.set(key, { paths: [path], option });
      else same.paths.push(path);
    }
  }
  return [...found.values()];
}

/** What may stand after a command: commands, words, options. */
function offersOf({ commands, words, options }: CommandNode): { word: string; description: string }[] {
  return [
    ...commands.map(({ name, summary }) => ({ word: name, description: summary })),
    ...words.map((word) => ({ word, description: "" })),
    ...options.flatMap(({ names, description }) =>
      names.filter((name) => name.startsWith("--")).map((word) => ({ word, description })),
    ),
  ];
}

/** Commands, each below the one before it; not the binary itself. */
function innerCommands(root: CommandNode): CommandNode[] {
  return allCommands(root).slice(1);
}

/** What bash and zsh compare words with: the commands, and for each option with a value what completes that. */
function casesOf(
  root: CommandNode,
  completionOf: (option: OptionNode) => string,
): Record<"paths" | "values", string[]> {
  const values = valuesOf(root).map(({ paths, option }) => {
    const patterns = paths.flatMap((path) => option.names.map((name) => `"${path} ${name}"`)).join("|");
    return `    ${patterns}) ${completionOf(option)}; return ;;`;
  });
  return { paths: innerCommands(root).map(({ path }) => `"${path}"`), values };
}

function bash(root: CommandNode): string {
  const { paths, values } = casesOf(root, bashValue);
  const offers = allCommands(root).map((node) => {
    const words = offersOf(node).map(({ word }) => word);
    return `    "${node.path}") offers="${words.join(" ")}" ;;`;
  });
  return `# Completion of shoal for bash: eval "$(shoal completion bash)"
_shoal() {
  local IFS=$' \\t\\n' current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD - 1]}"
  local command=shoal offers="" at
  for ((at = 1; at < COMP_CWORD; at++)); do
    case "$command \${COMP_WORDS[at]}" in
    ${paths.join("|")})
      command="$command \${COMP_WORDS[at]}" ;;
    esac
  done
  case "$command $before" in
${values.join("\n")}
  esac
  case "$command" in
${offers.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$offers" -- "$current"))
  if [ \${#COMPREPLY[@]} -eq 0 ]; then
    case "$current" in -*) ;; *) _shoal_files -f ;; esac
  fi
}
_shoal_files() {
  local IFS=$'\\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen "$1" -- "$current"))
}
complete -F _shoal shoal
`;
}

function bashValue({ kind, words }: OptionNode): string {
  switch (kind) {
    case "words":
      return `COMPREPLY=($(compgen -W "${words.join(" ")}" -- "$current"))`;
    case "file":
      return "_shoal_files -f";
    case "folder":
      return "_shoal_files -d";
    case "endpoint":
      return `compopt -o nospace 2>/dev/null; COMPREPLY=($(compgen -W "${SCHEMES.join(" ")}" -- "$current"))`;
    default:
      return "COMPREPLY=()";
  }
}

function zsh(root: CommandNode): string {
  const { paths, values } = casesOf(root, zshValue);
  const offers = allCommands(root).map((node) => {
    const words = offersOf(node).map(({ word, description }) => zshEntry(word, description));
    return `    "${node.path}") offers=(${words.join(" ")}) ;;`;
  });
  return `#compdef shoal
# Completion of shoal for zsh: source <(shoal completion zsh), or as the file _shoal in a folder of $fpath.
_shoal() {
  local command=shoal before="\${words[CURRENT - 1]}" at
  local -a offers
  for ((at = 2; at < CURRENT; at++)); do
    case "$command \${words[at]}" in
    ${paths.join("|")})
      command="$command \${words[at]}" ;;
    esac
  done
  case "$command $before" in
${values.join("\n")}
  esac
  case "$command" in
${offers.join("\n")}
  esac
  if [[ "\${words[CURRENT]}" == -* ]]; then
    _describe -o option offers
  else
    _describe command offers || _files
  fi
}
if [ "\${funcstack[1]}" = _shoal ]; then _shoal "$@"; else compdef _shoal shoal; fi
`;
}

function zshValue({ kind, words }: OptionNode): string {
  switch (kind) {
    case "words":
      return `compadd -- ${words.join(" ")}`;
    case "file":
      return "_files";
    case "folder":
      return "_files -/";
    case "endpoint":
      return `compadd -S '' -- ${SCHEMES.join(" ")}`;
    default:
      return "_message value";
  }
}

/** `'word:what it does'`, where a colon of either would end it. */
function zshEntry(word: string, description: string): string {
  const text = [word, description].filter((part) => part !== "").map((part) => part.replaceAll(":", "\\:"));
  return `'${text.join(":").replaceAll("'", "'\\''")}'`;
}

function fish(root: CommandNode): string {
  const paths = innerCommands(root).map(({ path }) => `"${path}"`);
  const lines = allCommands(root).flatMap((node) => [
    ...node.commands.map(
      ({ name, summary }) =>
        `complete -c shoal -n '__shoal_at "${node.path}"' -fa ${name} -d ${fishText(summary)}`,
    ),
    ...node.words.map((word) => `complete -c shoal -n '__shoal_at "${node.path}"' -fa ${word}`),
    ...node.options.map((option) => fishOption(node.path, option)),
  ]);
  return `# Completion of shoal for fish: shoal completion fish | source
function __shoal_at
    set -l command shoal
    for word in (commandline -opc)[2..-1]
        switch "$command $word"
            case ${paths.join(" ")}
                set command "$command $word"
        end
    end
    test "$command" = "$argv[1]"
end
${lines.join("\n")}
`;
}

function fishOption(path: string, { names, description, kind, words }: OptionNode): string {
  const flags = names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  const values: Readonly<Record<OptionNode["kind"], string>> = {
    none: "",
    words: ` -xa ${fishText(words.join(" "))}`,
    file: " -rF",
    folder: " -xa '(__fish_complete_directories)'",
    endpoint: ` -xa ${fishText(SCHEMES.join(" "))}`,
    other: " -x",
  };
  return `complete -c shoal -n '__shoal_at "${path}"' ${flags.join(" ")}${values[kind]} -d ${fishText(description)}`;
}

function fishText(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
