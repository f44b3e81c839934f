import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Policy } from "../state";

// Mark is a state in a word; the colour only repeats it.
export const Mark = ({ kind, children }: { kind: "good" | "bad" | "new" | "usual"; children: ComponentChildren }) => <span class={"mark " + kind}>{children}</span>;

// because is the end of what AWS says when it denies, which tells why.
export const because = (why: string) => /(?:with|because|api error \w+:) (.+)$/.exec(why)?.[1] ?? why;

export const Chip = ({ children }: { children: ComponentChildren }) => <span class="chip">{children}</span>;

// Name lets long names break anywhere.
export const Name = ({ text }: { text: string }) => <span class="name">{text}</span>;

type Props = { id: string; kind: string; changed?: boolean; gone?: boolean; note: string; marks?: ComponentChildren; children: ComponentChildren };

// Thing is a line that opens. What changed is open by itself, until somebody
// decides otherwise.
export function Thing({ id, kind, changed, gone, note, marks, children }: Props) {
  const [chosen, setOpen] = useState<boolean>();
  const open = chosen ?? !!changed;
  return (
    <li class={["thing", changed ? "changed" : "", gone ? "gone" : ""].join(" ")} data-thing={id}>
      <button type="button" class="plain" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span class="arrow" aria-hidden="true">
          {open ? "▾" : "▸"}
        </span>
        <span class="quiet kind">{kind}</span> <Name text={id} /> {changed && <Mark kind="new">changed</Mark>} {gone && <Mark kind="bad">deleted</Mark>} {marks}{" "}
        <span class="quiet note">{note}</span>
      </button>
      {open && <div class="inside">{children}</div>}
    </li>
  );
}

// Facts are a list of what a thing has; what it lacks is left out.
export function Facts({ of }: { of: [string, ComponentChildren][] }) {
  return (
    <dl>
      {of.map(([what, value]) => {
        if (value === "" || (Array.isArray(value) && value.length === 0)) return null;
        return (
          <div key={what}>
            <dt>{what}</dt>
            <dd>{value}</dd>
          </div>
        );
      })}
    </dl>
  );
}

export const chips = (texts: string[]) => texts.map((t) => <Chip key={t}>{t}</Chip>);

export const tagChips = (tags: Record<string, string>) => chips(Object.entries(tags).map(([k, v]) => (v ? `${k} = ${v}` : k)));

// Documents are policies to read.
export function Documents({ policies }: { policies: Policy[] }) {
  return (
    <>
      {policies.map((p) => (
        <details key={p.name} class="policy" data-policy={p.name}>
          <summary>
            <Name text={p.name} /> {p.ours && <Mark kind="new">Killswitch’s</Mark>}
          </summary>
          <pre tabIndex={0} aria-label={"Policy " + p.name}>{indented(p.document)}</pre>
        </details>
      ))}
    </>
  );
}

function indented(document: string): string {
  try {
    return JSON.stringify(JSON.parse(document), null, 2);
  } catch {
    return document;
  }
}
