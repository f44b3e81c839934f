// Slack's own markup, which is not Markdown, as far as an app's messages go.
// https://docs.slack.dev/messaging/formatting-message-text

export type Node =
  | { type: "text"; text: string }
  | { type: "bold" | "italic" | "strike" | "quote"; children: Node[] }
  | { type: "code" | "fence"; text: string }
  | { type: "user" | "channel" | "group"; id: string; label: string }
  | { type: "here"; text: string }
  | { type: "link"; url: string; label: string };

// parse reads mrkdwn. Only what Slack reads as a control sequence is one: every
// other text comes out as it went in.
export function parse(text: string): Node[] {
  const out: Node[] = [];
  for (const [i, part] of text.split("```").entries()) {
    if (i % 2 === 1) out.push({ type: "fence", text: decode(part.replace(/^\n|\n$/g, "")) });
    else lines(part, out);
  }
  return out;
}

// lines tells quoted lines from the others.
function lines(text: string, out: Node[]) {
  let plain: string[] = [];
  let quoted: string[] = [];
  const flush = () => {
    if (plain.length) out.push(...inline(plain.join("\n")));
    if (quoted.length) out.push({ type: "quote", children: inline(quoted.join("\n")) });
    plain = [];
    quoted = [];
  };
  for (const line of text.split("\n")) {
    const quote = /^(?:>|&gt;) ?(.*)$/.exec(line);
    if (quote ? plain.length : quoted.length) flush();
    if (quote) quoted.push(quote[1]!);
    else plain.push(line);
  }
  flush();
}

const marks = { "*": "bold", _: "italic", "~": "strike" } as const;
const word = /[\p{L}\p{N}\u2060]/u;

// inline reads one run of text: spans of code, <…>, and paired marks.
function inline(text: string): Node[] {
  const out: Node[] = [];
  let plain = "";
  const add = (n: Node) => {
    if (plain) out.push({ type: "text", text: decode(plain) });
    plain = "";
    out.push(n);
  };
  for (let i = 0; i < text.length; ) {
    const rest = text.slice(i);
    const code = /^`([^`\n]+)`/.exec(rest);
    const control = /^<([^<>\n]+)>/.exec(rest);
    const mark = marks[text[i] as keyof typeof marks];
    const end = mark ? closing(text, i) : -1;
    if (code) {
      add({ type: "code", text: decode(code[1]!) });
      i += code[0].length;
    } else if (control) {
      add(sequence(control[1]!));
      i += control[0].length;
    } else if (mark && end > 0) {
      add({ type: mark, children: inline(text.slice(i + 1, end)) });
      i = end + 1;
    } else {
      plain += text[i++];
    }
  }
  if (plain) out.push({ type: "text", text: decode(plain) });
  return out;
}

// closing finds the mark that ends what the mark at i begins: both stand at the
// edge of a word, on one line, and not inside <…> or code.
function closing(text: string, i: number): number {
  const mark = text[i]!;
  if (word.test(text[i - 1] ?? " ") || edge(text[i + 1])) return -1;
  let inside = "";
  for (let j = i + 1; j < text.length && text[j] !== "\n"; j++) {
    const c = text[j]!;
    if (inside) {
      if (c === inside) inside = "";
    } else if (c === "<" && text.indexOf(">", j) > 0) inside = ">";
    else if (c === "`" && text.indexOf("`", j + 1) > 0) inside = "`";
    else if (c === mark && j > i + 1 && !edge(text[j - 1]) && !word.test(text[j + 1] ?? " ") && text[j + 1] !== mark) return j;
  }
  return -1;
}

// edge reports whether a mark beside this character does nothing. The word joiner
// (U+2060) is what the bot puts behind marks that come from outside.
function edge(c: string | undefined): boolean {
  return c === undefined || /[\s\u2060]/u.test(c);
}

// sequence reads what stands between < and >.
function sequence(s: string): Node {
  const bar = s.indexOf("|");
  const head = bar < 0 ? s : s.slice(0, bar);
  const label = bar < 0 ? "" : decode(s.slice(bar + 1));
  if (head.startsWith("@")) return { type: "user", id: head.slice(1), label };
  if (head.startsWith("#")) return { type: "channel", id: head.slice(1), label };
  if (head.startsWith("!subteam^")) return { type: "group", id: head.slice("!subteam^".length), label };
  if (head.startsWith("!date^")) return { type: "text", text: date(head) ?? label };
  if (head.startsWith("!")) return { type: "here", text: label || "@" + head.slice(1) };
  return { type: "link", url: decode(head), label: label || decode(head) };
}

// date writes a moment in the reader's own time.
// https://docs.slack.dev/messaging/formatting-message-text#date-formatting
function date(head: string): string | undefined {
  const [, at, format] = head.split("^");
  const moment = new Date(Number(at) * 1000);
  if (Number.isNaN(moment.getTime()) || !format) return undefined;
  const two = (n: number) => String(n).padStart(2, "0");
  const time = `${two(moment.getHours())}:${two(moment.getMinutes())}`;
  return format
    .replace("{time}", time)
    .replace("{time_secs}", `${time}:${two(moment.getSeconds())}`)
    .replace(/\{date[a-z_]*\}/, `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`);
}

// decode undoes the only three entities that Slack has.
export function decode(s: string): string {
  return s.replace(/&(lt|gt|amp);/g, (_, name: string) => ({ lt: "<", gt: ">", amp: "&" })[name]!);
}

// safe reports whether a link may be followed.
export const safe = (url: string) => /^(https?:\/\/|mailto:)/i.test(url);
