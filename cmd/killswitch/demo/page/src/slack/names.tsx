import { createContext, type ComponentChildren } from "preact";
import { useContext } from "preact/hooks";
import type { State } from "../state";

// Names is who and what mentions mean.
export const Names = createContext<Pick<State, "people" | "channel">>({ people: [], channel: { id: "", name: "" } });

export function useName(id: string): string {
  const { people, channel } = useContext(Names);
  return people.find((p) => p.id === id)?.name ?? (id === channel.id ? channel.name : id);
}

export function Mention({ id, label, sign }: { id: string; label?: string; sign: "@" | "#" }) {
  const name = useName(id);
  return <span class="mention">{sign + (label || name)}</span>;
}

// Link goes outside only when it is clicked, and only where a browser may follow.
export function Link({ url, children }: { url: string; children: ComponentChildren }) {
  return (
    <a href={url} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}
