import { useEffect, useRef, useState } from "preact/hooks";
import { firstWords } from "./slack/thread";
import { key, type Message, type Person, type State } from "./state";

// Announcer tells screen readers what was posted, and what a card says now. Many
// at once are counted.
export function Announcer({ state, people }: { state: State; people: Person[] }) {
  const seen = useRef<Map<string, string> | null>(null);
  const [words, setWords] = useState("");
  const visible = (m: Message) => !m.ephemeral_to || people.some((p) => p.id === m.ephemeral_to);
  useEffect(() => {
    const before = seen.current;
    seen.current = new Map(state.messages.map((m) => [key(m), m.text]));
    if (!before) return;
    const news = state.messages.filter((m) => visible(m) && before.get(key(m)) !== m.text);
    if (news.length > 3) setWords(`${news.length} new or changed messages`);
    else if (news.length) setWords(news.map((m) => told(m, before.has(key(m)), people)).join(". "));
  }, [state.messages]);
  return (
    <div class="hide" role="status" aria-live="polite">
      {words}
    </div>
  );
}

function told(m: Message, edited: boolean, people: Person[]): string {
  const to = people.find((p) => p.id === m.ephemeral_to);
  const how = to ? `Only visible to ${to.name}` : edited ? "Card now" : m.thread_ts && m.thread_ts !== m.ts ? "New reply" : "New message";
  return `${how}: ${firstWords(m.text)}`;
}
