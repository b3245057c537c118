/** A regular expression as it stands in a file. */
export interface RegexLiteral {
  source: string;
  flags: string;
  line: number;
}

/** What a slash may follow where it begins a regular expression; elsewhere it divides. */
const BEFORE = new Set([..."(,=:[!&|?{};>", ""]);
const WORDS = /(?:^|[^\w.])(?:return|case|typeof|of|in)$/;

/** Every regular expression written in a TypeScript file, comments, strings and templates left out. */
export function regexLiterals(text: string): RegexLiteral[] {
  const found: RegexLiteral[] = [];
  const templates: number[] = [];
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (text.startsWith("//", at) || (at === 0 && text.startsWith("#!"))) at = endOf(text, "\n", at);
    else if (text.startsWith("/*", at)) at = endOf(text, "*/", at + 2) + 1;
    else if (char === '"' || char === "'") at = closing(text, char, at);
    else if (char === "`" || (char === "}" && templates.at(-1) === depth)) {
      if (char === "}") templates.pop();
      at = closing(text, "`", at);
      if (text[at] === "{") templates.push(depth);
    } else if (char === "{") depth++;
    else if (char === "}") depth--;
    else if (char === "/" && begins(text, at)) {
      const end = closingSlash(text, at);
      const flags = /^[a-z]*/.exec(text.slice(end + 1, end + 10))?.[0] ?? "";
      found.push({ source: text.slice(at + 1, end), flags, line: text.slice(0, at).split("\n").length });
      at = end + flags.length;
    }
  }
  return found;
}

function endOf(text: string, mark: string, from: number): number {
  const end = text.indexOf(mark, from);
  return end < 0 ? text.length : end;
}

/** The quote that closes, or the brace where a template's expression opens. */
function closing(text: string, quote: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === quote) return at;
    else if (quote === "`" && text.startsWith("${", at)) return at + 1;
  }
  return text.length;
}

function begins(text: string, at: number): boolean {
  const before = text.slice(Math.max(0, at - 200), at).trimEnd();
  return BEFORE.has(before.at(-1) ?? "") || WORDS.test(before);
}

function closingSlash(text: string, from: number): number {
  let inClass = false;
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "[") inClass = true;
    else if (text[at] === "]") inClass = false;
    else if (text[at] === "/" && !inClass) return at;
  }
  return text.length;
}
